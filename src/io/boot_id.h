// boot_id(): identifies the present boot of the machine.
//
// What a program wrote and did not sync is still there as long as the machine runs, even if the program is killed. So a
// program that keeps the boot's id beside a file knows later whether the file has to be checked again.
// Threading: any thread. It reads a file of the kernel.
#pragma once

#include <string>

namespace minerva::io {

// A different text for each boot of the machine; empty if the kernel does not say.
std::string boot_id();

}  // namespace minerva::io
