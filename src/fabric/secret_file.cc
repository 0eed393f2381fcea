#include "fabric/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "fabric/socket.h"

namespace faha {
namespace {

Status Unusable(const std::string& path, std::string_view why) {
  return {Code::kBadConfig, fmt::format("faha.secret-file {} {}", path, why)};
}

Result<std::string> ReadFirstLine(int fd, const std::string& path) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return Unusable(path, fmt::format("cannot be read: {}", ErrnoText(errno)));
  if (!S_ISREG(about.st_mode)) return Unusable(path, "is no file: write the secret into one");
  if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return Unusable(path, "is open to others than its owner: chmod 600 it");
  }
  // This is one byte more than the longest secret and its newline have, so a longer first line is noticed.
  std::array<char, kMaxSecretBytes + 2> bytes;
  std::size_t size = 0;
  ssize_t got = 1;
  while (got > 0 && size < bytes.size()) {
    got = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno != EINTR) return Unusable(path, fmt::format("cannot be read: {}", ErrnoText(errno)));
    size += got > 0 ? static_cast<std::size_t>(got) : 0;
    if (got < 0) got = 1;
  }
  const std::string_view text(bytes.data(), size);
  const std::string_view line = text.substr(0, text.find('\n'));
  if (line.empty()) return Unusable(path, "has an empty first line: write the secret there");
  if (line.size() > kMaxSecretBytes) {
    return Unusable(path, fmt::format("has a first line of more than {} characters: shorten it", kMaxSecretBytes));
  }
  return std::string(line);
}

}  // namespace

Result<std::string> ReadSecretFile(const std::string& path) {
  // Opening does not wait, whatever kind of file the path names.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return Unusable(path, fmt::format("cannot be read: {}", ErrnoText(errno)));
  auto line = ReadFirstLine(fd, path);
  ::close(fd);
  return line;
}

}  // namespace faha
