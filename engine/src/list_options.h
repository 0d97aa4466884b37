// `minerva-engine list-options`: the arguments of llama.cpp's server as one JSON array. A test compares Minerva's own
// list with it:
//   [{"names": ["-t", "--threads"], "values": 1, "hint": "N"}, ...]
#pragma once

namespace minerva::engine {

int list_options();

}  // namespace minerva::engine
