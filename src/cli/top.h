// What `minerva top` shows, and the keys it takes. Apart from the terminal and the server, so that it can be tested.
//
// Plain functions; any thread.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace minerva::cli {

// "reading 31 % of 12,000 tokens", "loading 42 %", "waiting, place 2", "generating": of a request in flight.
std::string phase_text(const nlohmann::json& request);

struct TopLook {
  std::string selected = {};  // a request's id; empty: none is marked
  bool colour = false;
  std::size_t most_ended = 10;
};
// `stats`: what GET /v1/models/stats answered; `requests`: GET /v1/requests. Lines, each with its end.
std::string top_text(const nlohmann::json& stats, const nlohmann::json& requests, const TopLook& look);

// As much of `text` as fits: its first lines, each cut at so many columns. Escape sequences of colours take none.
std::string fitted(std::string_view text, std::size_t rows, std::size_t columns);

// The ids of the requests in flight, in the order they are shown.
std::vector<std::string> shown_ids(const nlohmann::json& requests);
// The id `step` places further than `selected`, at most to an end. Empty: there is none.
std::string moved(const std::vector<std::string>& ids, const std::string& selected, int step);

enum class Key { kNone, kUp, kDown, kCancel, kYes, kQuit, kOther };
// Takes the first key of what was typed. kNone: nothing was, or not all of it yet.
Key take_key(std::string& typed);

}  // namespace minerva::cli
