#include "module/peer_names.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

namespace faha::module {
namespace {

// An IPv6 address.  An IPv4 address is mapped into IPv6, and all loopback addresses are treated as the same one.
using Address = std::array<unsigned char, 16>;

Address Mapped(const sockaddr_in& from) {
  Address address{};
  const auto* bytes = reinterpret_cast<const unsigned char*>(&from.sin_addr);
  if (bytes[0] == 127) {
    address[15] = 1;
    return address;
  }
  address[10] = address[11] = 0xff;
  std::copy(bytes, bytes + 4, address.begin() + 12);
  return address;
}

// Returns no addresses if the host cannot be found.
std::vector<Address> AddressesOf(const std::string& host) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, freeaddrinfo);
  std::vector<Address> addresses;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      addresses.push_back(Mapped(*reinterpret_cast<const sockaddr_in*>(each->ai_addr)));
    } else if (each->ai_family == AF_INET6) {
      Address address;
      std::memcpy(address.data(), &reinterpret_cast<const sockaddr_in6*>(each->ai_addr)->sin6_addr, address.size());
      addresses.push_back(address);
    }
  }
  return addresses;
}

bool ShareOne(const std::vector<Address>& some, const std::vector<Address>& others) {
  return std::find_first_of(some.begin(), some.end(), others.begin(), others.end()) != some.end();
}

}  // namespace

Endpoint Numeric(const Endpoint& name) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(name.host.c_str(), nullptr, &hints, &list) != 0) return name;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, freeaddrinfo);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (getnameinfo(list->ai_addr, list->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0)
    return name;
  return {text.data(), name.port};
}

const Member* PeerNames::Find(const Members& members, const Endpoint& name) const {
  const auto find = [&](const auto& is_it) -> const Member* {
    const auto found = std::find_if(members.begin(), members.end(), is_it);
    return found == members.end() ? nullptr : &*found;
  };
  if (const Member* same = find([&](const Member& each) { return each.Redis() == name; })) return same;
  const auto meant = AddressesOf(name.host);  // once: the resolver may take long
  return find([&](const Member& each) {
    const auto is_at = [&](const std::string& host) { return !host.empty() && ShareOne(AddressesOf(host), meant); };
    return each.redis_port == name.port && (is_at(each.host) || is_at(each.peer_host));
  });
}

Endpoint PeerNames::NameOf(const Member& member) const {
  const auto found = names_.find(member.id);
  return found == names_.end() ? member.Redis() : found->second;
}

PeerNames& ThePeerNames() {
  static PeerNames names;
  return names;
}

}  // namespace faha::module
