// minerva-engine: llama.cpp's server for one model, the inspection of a model file, and small helper commands.
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "build-info.h"
#include "device_parking.h"
#include "inspect.h"
#include "keeper.h"
#include "lifeline.h"
#include "list_devices.h"
#include "list_options.h"
#include "parking.h"
#include "protocol/child.h"
#include "protocol/conversations.h"
#include "sandbox.h"
#include "sandbox_check.h"

int llama_server(int argc, char ** argv);

namespace {

constexpr const char * kUsage =
    "usage: minerva-engine [llama-server arguments]        serve one model\n"
    "       minerva-engine inspect FILE [the same]         print what it is and what memory it takes, as JSON\n"
    "       minerva-engine sandbox-check [serve|inspect FILE]\n"
    "                                                      print what the kernel offers, and try what is forbidden\n"
    "       minerva-engine list-options                    print the arguments there are, as JSON\n"
    "       minerva-engine list-devices                    print the devices (GPUs) that it can compute on, as JSON\n"
    "       minerva-engine --version\n"
    "As a child of a daemon (LLAMA_SERVER_ROUTER_PORT is set) it prints state lines on stdout and ends with its "
    "parent\n"
    "or with its stdin.\n";

// Blocks of this size and more go back to the kernel as soon as they are freed. By default, when glibc sees one such
// block freed, it takes larger blocks from its heap from then on, and keeps freed ones that are not at the heap's end:
// conversations that left the host prompt cache would still count as memory.
void give_back_what_is_freed() {
    constexpr int kBytes = 128 << 10;  // glibc's first threshold
    mallopt(M_MMAP_THRESHOLD, kBytes);
}

}  // namespace

int main(int argc, char ** argv) {
    give_back_what_is_freed();
    const std::string command = argc > 1 ? argv[1] : "";
    if (command.empty() || command == "--help" || command == "-h") {
        std::fputs(kUsage, command.empty() ? stderr : stdout);
        return command.empty() ? 2 : 0;
    }
    if (command == "--version") {
        std::printf("minerva-engine, llama.cpp %s\n", llama_build_info());
        return 0;
    }
    if (command == minerva::protocol::kSandboxCheckCommand) {
        return minerva::engine::sandbox_check(argc - 1, argv + 1);
    }
    if (command == minerva::protocol::kListOptionsCommand) {
        return minerva::engine::list_options();
    }
    if (command == minerva::protocol::kListDevicesCommand) {
        minerva::engine::enter_sandbox(minerva::engine::Purpose::kInspect);
        return minerva::engine::list_devices();
    }
    if (command == minerva::protocol::kInspectCommand) {
        minerva::engine::enter_sandbox(minerva::engine::Purpose::kInspect);
        return minerva::engine::inspect(argc - 1, argv + 1);
    }
    std::unique_ptr<minerva::engine::Parking> parking;
    if (std::getenv(minerva::protocol::kChildVariable) != nullptr) {
        const char * const folder = std::getenv(minerva::protocol::kImageFolderVariable);
        parking = std::make_unique<minerva::engine::Parking>(folder == nullptr ? "" : folder,
                                                             minerva::engine::make_device_memory());
    }
    minerva::engine::enter_sandbox(minerva::engine::Purpose::kServe);
    if (parking) {
        minerva::engine::hold_lifeline(std::move(parking));
        if (const char * const folder = std::getenv(minerva::protocol::kConversationsVariable)) {
            minerva::engine::keep_conversations(folder);
        }
    }
    return llama_server(argc, argv);
}
