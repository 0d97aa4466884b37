// `minerva-engine list-options`: llama.cpp's server arguments as one JSON array, for the test that holds Minerva's own
// list of them against it:
//   [{"names": ["-t", "--threads"], "values": 1, "hint": "N"}, ...]
#pragma once

namespace minerva::engine {

int list_options();

}  // namespace minerva::engine
