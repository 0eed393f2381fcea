// Which stranger gives its place to a newcomer.  Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace faha {

// The oldest stranger of the address that has most of them, with the newcomer from `host` counted in: a flood takes
// only the places that it has itself, for whoever comes from elsewhere has fewer.  A flood from more addresses than
// there are places would not: strangers at an address that `is_known` says a proved peer has keep their places but for
// each other.  Null where there is none.  `links` maps ids, which grow, to pointers to links.
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
