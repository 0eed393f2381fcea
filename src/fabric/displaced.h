// Chooses the stranger that gives its place to a newcomer.  Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace faha {

// Returns the oldest stranger of the address that has the most strangers, with the newcomer from `host` counted in.  So
// a flood from one address takes only places that it has itself, because other addresses have fewer.  This does not
// help against a flood from more addresses than there are places.  Therefore strangers at an address that a proved peer
// has (`is_known`) keep their places, except from newcomers at such addresses when all strangers are at such addresses.
// Returns null if no stranger may be displaced.  `links` maps ids, which grow, to pointers to links.
template <typename Links, typename IsKnown>
auto* Displaced(const Links& links, const std::string& host, const IsKnown& is_known) {
  using Link = typename Links::mapped_type::element_type;
  std::unordered_map<std::string_view, int> places{{host, 1}};
  bool all_known = true;
  for (const auto& [id, link] : links) {
    if (!link->stranger) continue;
    ++places[link->peer.host];
    all_known = all_known && is_known(link->peer.host);
  }
  Link* out = nullptr;
  if (all_known && !is_known(host)) return out;
  int most = 0;
  for (const auto& [id, link] : links) {
    if (!link->stranger || (!all_known && is_known(link->peer.host))) continue;
    const int its = places[link->peer.host];
    if (its < most || (its == most && out->id < link->id)) continue;
    most = its;
    out = link.get();
  }
  return out;
}

}  // namespace faha
