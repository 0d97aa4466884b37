// `minerva-engine inspect FILE [engine arguments]`: what a model is, and the memory an engine with these arguments
// takes.
//
// Prints one JSON object on stdout; llama.cpp's log goes to stderr. Nothing of the weights is read.
// Exit codes: 0; 1 with {"error": "..."} when the file is no model llama.cpp can load, or the arguments are wrong. The
// "kind" of a file that is a part or companion of models is said there too.
// A file that makes llama.cpp abort takes this process with it: the caller sees a signal.
// It does not look at how much memory the machine has.
#pragma once

namespace minerva::engine {

// argv[0] is the program, argv[1] the model file, the rest are the server's arguments.
int inspect(int argc, char ** argv);

}  // namespace minerva::engine
