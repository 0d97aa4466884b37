// How the daemon starts minerva-engine, and what its exit says: commands, variables of the environment, exit codes.
//
// Both sides include this. Plain values; no dependency; any thread.
#pragma once

namespace minerva::protocol {

// First arguments; without one of these it serves a model.
inline constexpr const char * kInspectCommand = "inspect";
inline constexpr const char * kSandboxCheckCommand = "sandbox-check";
inline constexpr const char * kListOptionsCommand = "list-options";

// llama.cpp's own: with it the engine is a child that says on stdout how far it is, and listens to its stdin.
inline constexpr const char * kChildVariable = "LLAMA_SERVER_ROUTER_PORT";
// Where the image of a parked model goes; without it the engine cannot be parked.
inline constexpr const char * kImageFolderVariable = "MINERVA_IMAGE_FOLDER";

// "off", "auto" or "required"; a word that nobody knows means "required". Without it there is no sandbox.
inline constexpr const char * kSandboxVariable = "MINERVA_SANDBOX";
inline constexpr const char * kSandboxOff = "off";
inline constexpr const char * kSandboxAuto = "auto";
// What a sandboxed engine may reach of the file system, beside what every program needs: a line each, one of these
// words, a space, and a path.
inline constexpr const char * kSandboxPathsVariable = "MINERVA_SANDBOX_PATHS";
inline constexpr const char * kMayRead = "read";            // a file
inline constexpr const char * kMayHaveSockets = "sockets";  // a folder
inline constexpr const char * kMayWrite = "folder";         // files in a folder are made and removed

// The kernel refuses the sandbox that is required. EX_CONFIG of sysexits.h.
inline constexpr int kExitWithoutSandbox = 78;

}  // namespace minerva::protocol
