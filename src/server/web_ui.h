// WebUi: serves the files of llama.cpp's own web UI, below /chat/, from the folder where `make ui` put them.
//
// The files are listed once, at the start. A request names one of them or none: no path is made from what a request
// says. Threading: the loop's thread; another thread reads the files. It does not build the UI, and knows nothing of
// the routes that the UI calls.
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
  // `folder`: if it is empty or does not exist, there is no UI.
  explicit WebUi(const std::string& folder);

  // Whether `path` is an address of the UI: "/chat/", or that of a file below it.
  bool has(std::string_view path) const;
  // Answers the exchange with the file at `path`. Requires: has(path).
  io::Task<void> answer(io::Loop& loop, Exchange& x, std::string path) const;

 private:
  std::string folder_;                        // empty: there is no UI
  std::map<std::string, std::string> files_;  // by address
};

// What a browser lets the page do: load its own files, talk to its own server, and run the inline scripts that it came
// with.
std::string content_security_policy(std::string_view html);
// The content type of a file, by its name.
std::string_view content_type_of(std::string_view file);

}  // namespace minerva
