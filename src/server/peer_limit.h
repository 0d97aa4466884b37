// PeerLimit: how many connections one peer may have. A peer is an IPv4 address or an IPv6 /64, since whoever has one
// address there has all of them.
//
// Plain values; one thread.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>

namespace minerva {

class PeerLimit {
 public:
  // `counts_loopback`: all programs of this machine, and a proxy before the server, are one peer.
  PeerLimit(std::size_t most, bool counts_loopback) : most_(most), counts_loopback_(counts_loopback) {}

  // `peer_name` as Stream has it. false: it has as many as it may have. Peers on a Unix socket are not counted.
  bool enter(const std::string& peer_name);
  // Requires: enter() said yes.
  void leave(const std::string& peer_name);

 private:
  std::string group_of(const std::string& peer_name) const;

  std::size_t most_;
  bool counts_loopback_;
  std::unordered_map<std::string, std::size_t> counts_;  // of those that have any
};

}  // namespace minerva
