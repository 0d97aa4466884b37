#include "server/peer_limit.h"

#include <arpa/inet.h>

#include <array>

namespace minerva {

// "192.0.2.7:51234" -> the address; "[2001:db8::7]:51234" -> its first 64 bits; empty for a peer that is not counted.
std::string PeerLimit::group_of(const std::string& peer_name) const {
  const std::size_t colon = peer_name.rfind(':');
  if (colon == std::string::npos) return {};
  if (!counts_loopback_ && (peer_name.starts_with("127.") || peer_name.starts_with("[::1]"))) return {};
  if (!peer_name.starts_with('[')) return peer_name.substr(0, colon);
  in6_addr address{};
  if (::inet_pton(AF_INET6, peer_name.substr(1, colon - 2).c_str(), &address) != 1) return peer_name;
  // An IPv4 client may come to a socket that takes IPv4 and IPv6.
  const bool is_v4 = IN6_IS_ADDR_V4MAPPED(&address);
  return {reinterpret_cast<const char*>(&address), is_v4 ? sizeof address : sizeof address / 2};
}

bool PeerLimit::enter(const std::string& peer_name) {
  const std::string group = group_of(peer_name);
  if (group.empty()) return true;
  std::size_t& count = counts_[group];
  if (count >= most_) return false;
  ++count;
  return true;
}

void PeerLimit::leave(const std::string& peer_name) {
  const auto found = counts_.find(group_of(peer_name));
  if (found != counts_.end() && --found->second == 0) counts_.erase(found);
}

}  // namespace minerva
