// PeerLimit: how many connections one peer may have. A peer is an IPv4 address or an IPv6 network of 64 bits, since the
// owner of one address of such a network has all of them.
//
// Plain values; one thread.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>

namespace minerva {

class PeerLimit {
 public:
  // `counts_loopback`: whether connections of this machine count. All its programs, and a proxy in front of the server,
  // are then one peer.
  PeerLimit(std::size_t most, bool counts_loopback) : most_(most), counts_loopback_(counts_loopback) {}

  // `peer_name`: as Stream::peer_name() returns it. false: the peer has as many connections as it may have. Peers on a
  // Unix socket are not counted.
  bool enter(const std::string& peer_name);
  // Requires: enter() returned true.
  void leave(const std::string& peer_name);

 private:
  std::string group_of(const std::string& peer_name) const;

  std::size_t most_;
  bool counts_loopback_;
  std::unordered_map<std::string, std::size_t> counts_;  // of the peers that have any
};

}  // namespace minerva
