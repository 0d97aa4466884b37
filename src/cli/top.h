// The text that `minerva top` shows, and the keys that it takes. Separate from the terminal and the server, so that it
// can be tested.
//
// Plain functions; any thread.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace minerva::cli {

// What a request in flight does: "reading 31 % of 12,000 tokens", "loading 42 %", "waiting, place 2", "generating".
std::string phase_text(const nlohmann::json& request);

struct TopLook {
  std::string selected = {};  // the id of a request; empty: none is selected
  bool colour = false;
  std::size_t most_ended = 10;
};
// `stats`: the answer of GET /v1/models/stats; `requests`: that of GET /v1/requests. Returns lines, each with its end.
std::string top_text(const nlohmann::json& stats, const nlohmann::json& requests, const TopLook& look);

// The first lines of `text`, as many as fit, each cut after that many columns. Escape sequences for colours take no
// column.
std::string fitted(std::string_view text, std::size_t rows, std::size_t columns);

// The ids of the requests in flight, in the order in which they are shown.
std::vector<std::string> shown_ids(const nlohmann::json& requests);
// The id that is `step` places after `selected`, at most the first or last one. Empty: there is none.
std::string moved(const std::vector<std::string>& ids, const std::string& selected, int step);

enum class Key { kNone, kUp, kDown, kCancel, kYes, kQuit, kOther };
// Removes the first key from what was typed. kNone: there is none, or only a part of one.
Key take_key(std::string& typed);

}  // namespace minerva::cli
