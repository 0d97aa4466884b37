// What the daemon and an engine's agent say to each other on the socket that is the engine's stdin.
//
// Both sides include this, the daemon with src/engine/ and the engine with engine/src/: a word, a name and a report is
// here once. Plain values; no dependency; any thread. Who reads the lines checks them: engine/src/daemon_command.h,
// src/engine/agent_answer.h.
//
// The daemon's requests are a line each: words and decimal numbers, with one space between them. ID is a number by
// which the answer is known; the daemon gives each request another one, greater than those before. Other lines are
// ignored, so that a newer daemon does no harm.
//   sharers N              N engines compute at present. It has no answer
//   park ID MAX            park; the image may take MAX bytes
//   drop ID BYTES          if it is parked: give back so much of the page cache that its weights and its image take
//   wake ID
//   measure ID [BYTES]     say what it holds at most; conversations outside of slots may come to BYTES
//   room ID                say how much is free on the devices where it has something
// The engine's lines are JSON objects:
//   at first               {"protocol":2,"can_park":true|false,"why_not":"..."}
//   to a park, drop, wake  {"id":ID,"parked":...}: a ParkReport. A wake that is refused leaves it parked.
//                          Where something is on devices: "devices":{"NAME":BYTES,...}
//   to a measure           {"id":ID,"measured":{"footprint_bytes":N,...}}; empty if the kernel does not tell. Where
//                          something is on devices: "devices":{"NAME":BYTES,...}
//   to a room              {"id":ID,"room":{"NAME":{"free_bytes":N,"total_bytes":N},...}}. Some drivers say that all is
//                          free, whatever is taken
// A member that is not known is passed over, so that a newer engine may say more. On a pipe instead of a socket there
// are no answers, and no parking.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace minerva::protocol {

// Changes when one side would misunderstand the other.
inline constexpr std::uint64_t kVersion = 2;

// The first words of requests.
inline constexpr const char * kSharers = "sharers";
inline constexpr const char * kPark = "park";
inline constexpr const char * kDrop = "drop";
inline constexpr const char * kWake = "wake";
inline constexpr const char * kMeasure = "measure";
inline constexpr const char * kRoom = "room";  // also the member of its answer

// The members of answers.
inline constexpr const char * kProtocolMember = "protocol";
inline constexpr const char * kCanPark = "can_park";
inline constexpr const char * kWhyNot = "why_not";  // where it cannot
inline constexpr const char * kId = "id";
inline constexpr const char * kParked = "parked";
inline constexpr const char * kRefused = "refused";  // where it was, as kBusy
inline constexpr const char * kBusy = "busy";
inline constexpr const char * kMeasured = "measured";
inline constexpr const char * kFootprint = "footprint_bytes";
inline constexpr const char * kDevices = "devices";
inline constexpr const char * kFreeBytes = "free_bytes";
inline constexpr const char * kTotalBytes = "total_bytes";

// The result of a park, a drop or a wake: from the engine's parking to the daemon's host.
struct ParkReport {
    bool parked = false;                   // whether it is parked now
    std::string refused;                   // why the park or the wake was refused; empty: it was not
    bool busy = false;                     // refused since the engine was at work: a later try may succeed
    std::uint64_t image_wanted_bytes = 0;  // how large the image would have been, if it was refused for that
    std::uint64_t written_bytes = 0;       // of the image, by this park
    std::uint64_t image_bytes = 0;         // what the image holds now
    std::uint64_t residue_bytes = 0;       // while parked: what the process holds of its own; 0: it could not find out
    // park, wake: the part of what the first token after a wake needs that is in the page cache
    std::uint64_t cached_bytes = 0;
    std::uint64_t missing_bytes = 0;  // the part of it that is not in the page cache: a wake reads it
    std::uint64_t dropped_bytes = 0;  // drop: how much page cache was given back
    // park: what it still has of devices, in bytes, by their names; empty where that is not known
    std::map<std::string, std::uint64_t> devices = {};
};

// The numbers of a ParkReport, each under its name. A number that is absent is 0.
struct ParkNumber {
    const char * name;
    std::uint64_t ParkReport::* value;
};
inline constexpr ParkNumber kParkNumbers[] = {
    {"image_wanted_bytes", &ParkReport::image_wanted_bytes},
    {"written_bytes", &ParkReport::written_bytes},
    {"image_bytes", &ParkReport::image_bytes},
    {"residue_bytes", &ParkReport::residue_bytes},
    {"cached_bytes", &ParkReport::cached_bytes},
    {"missing_bytes", &ParkReport::missing_bytes},
    {"dropped_bytes", &ParkReport::dropped_bytes},
};

}  // namespace minerva::protocol
