// How identities are made and written.  Thread: any.
#include "faha/types.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cerrno>

#include "base/check.h"
#include "base/uuid.h"

namespace faha {
namespace {

// The value of a hexadecimal digit; -1 for any other character.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string Uuid::ToString() const { return fmt::format("{:02x}", fmt::join(bytes, "")); }

// An IPv6 address is written in brackets, so that its port can be told from it.
std::string Endpoint::ToString() const {
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

Uuid NewUuid() {
  Uuid id;
  while (id.IsNone()) {
    const auto got = ::getrandom(id.bytes.data(), id.bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    // Reads of up to 256 bytes are never short once the kernel's pool is ready.
    FAHA_CHECK(got == static_cast<ssize_t>(id.bytes.size()), "the kernel gives random bytes");
  }
  return id;
}

bool ParseUuid(std::string_view text, Uuid& id) {
  Uuid parsed;
  if (text.size() != 2 * parsed.bytes.size()) return false;
  for (std::size_t i = 0; i < parsed.bytes.size(); ++i) {
    const int high = HexDigit(text[2 * i]);
    const int low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    parsed.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  id = parsed;
  return true;
}

}  // namespace faha
