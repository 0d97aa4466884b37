// WebUi: the files of llama.cpp's own web UI, below /chat/, out of the folder where `make ui` put them.
//
// What may be served is found once, at the start: a request names one of these files or none, and no path is made of
// what it says. Threading: the loop's thread; files are read on another one. It does not build the UI, and knows
// nothing of what it calls.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "io/loop.h"
#include "io/task.h"
#include "server/exchange.h"

namespace minerva {

class WebUi {
 public:
  // `folder`: empty, or one that is not there: no UI.
  explicit WebUi(const std::string& folder);

  // Whether it is one of the UI's addresses, as "/chat/" is and what its files are called below that.
  bool has(std::string_view path) const;
  // Answers the exchange with what it has() at `path`.
  io::Task<void> answer(io::Loop& loop, Exchange& x, std::string path) const;

 private:
  std::string folder_;                        // empty: there is none
  std::map<std::string, std::string> files_;  // by their addresses
};

// What a browser lets the page do: its own files, its own server, and those inline scripts that it came with.
std::string content_security_policy(std::string_view html);
// Of a file, by its name.
std::string_view content_type_of(std::string_view file);

}  // namespace minerva
