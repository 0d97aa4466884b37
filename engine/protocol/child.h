// How the daemon starts minerva-engine, and what the engine's exit means: commands, variables of the environment, exit
// codes.
//
// Both sides include this. Plain values; no dependency; any thread.
#pragma once

namespace minerva::protocol {

// First arguments. Without one of these the engine serves a model.
inline constexpr const char * kInspectCommand = "inspect";
inline constexpr const char * kSandboxCheckCommand = "sandbox-check";
inline constexpr const char * kListOptionsCommand = "list-options";
inline constexpr const char * kListDevicesCommand = "list-devices";

// llama.cpp's own variable. With it the engine is a child that reports its progress on stdout, and reads its stdin.
inline constexpr const char * kChildVariable = "LLAMA_SERVER_ROUTER_PORT";
// The folder for the image of the parked model. Without it the engine cannot be parked.
inline constexpr const char * kImageFolderVariable = "MINERVA_IMAGE_FOLDER";

// "off", "auto" or "required". An unknown word means "required". Without the variable there is no sandbox.
inline constexpr const char * kSandboxVariable = "MINERVA_SANDBOX";
inline constexpr const char * kSandboxOff = "off";
inline constexpr const char * kSandboxAuto = "auto";
// What a sandboxed engine may reach in the file system, beside what every program needs: one line each, with one of
// these words, a space, and a path.
inline constexpr const char * kSandboxPathsVariable = "MINERVA_SANDBOX_PATHS";
inline constexpr const char * kMayRead = "read";            // a file may be read
inline constexpr const char * kMayHaveSockets = "sockets";  // sockets may be made in a folder
inline constexpr const char * kMayWrite = "folder";  // files may be made and removed in a folder, and folders made

// The kernel refuses the sandbox, which is required. EX_CONFIG of sysexits.h.
inline constexpr int kExitWithoutSandbox = 78;

}  // namespace minerva::protocol
