// boot_id: which start of the machine this is.
//
// What a program wrote and did not sync is still there as long as the machine runs, also after a program was killed. So
// whoever keeps the boot's name beside such a file knows later whether the file has to be looked at again.
// Threading: any thread. It reads a file of the kernel's.
#pragma once

#include <string>

namespace minerva::io {

// Another one after each start of the machine; empty if the kernel does not say.
std::string boot_id();

}  // namespace minerva::io
