// `minerva-engine inspect FILE [engine arguments]`: what a model is, and how much memory an engine with these arguments
// takes.
//
// Prints one JSON object on stdout; llama.cpp's log goes to stderr. It reads none of the weights.
// Exit codes: 0; 1 with {"error": "..."} when llama.cpp cannot load the file, or the arguments are wrong. For a file
// that is a part or a companion of models, the "kind" is printed then too.
// If a file makes llama.cpp abort, this process ends with a signal, which the caller sees.
// It does not look at how much memory the machine has.
#pragma once

namespace minerva::engine {

// argv[0] is the program, argv[1] the model file, the rest are the server's arguments.
int inspect(int argc, char ** argv);

}  // namespace minerva::engine
