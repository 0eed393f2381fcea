#include "store/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <vector>

#include "base/checksum.h"

namespace faha {
namespace {

constexpr std::uint64_t kMagic = 0x58444941484146;  // "FAHAIDX"
constexpr std::uint32_t kVersion = 7;

struct Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t reserved;
  std::uint8_t node[16];
  std::uint64_t lsn;       // applied, and the log's end
  std::uint64_t checksum;  // of that batch; it vouches for all before it
  std::uint64_t segments;  // of the generations in use and where they lie
  std::uint64_t segment_count;
};
static_assert(sizeof(Header) == 64 && std::is_trivially_copyable_v<Header>);

// Which segments are in use: the addresses in a checkpoint are worthless once one of these segments was given back.
std::uint64_t SegmentsInUse(const Log& log) {
  ChecksumStream sum;
  for (const auto& [generation, index] : log.segments().in_order()) {
    const std::uint64_t entry[]{generation, index};
    sum.Add(std::as_bytes(std::span(entry)));
  }
  return sum.Value();
}

Header HeaderOf(const Log& log) {
  Header header{};
  header.magic = kMagic;
  header.version = kVersion;
  const NodeId node = log.pool().node();
  std::copy(node.bytes.begin(), node.bytes.end(), header.node);
  header.lsn = log.end().lsn.value;
  if (const auto last = log.Find(log.end().lsn)) header.checksum = last->view.header().checksum;
  header.segments = SegmentsInUse(log);
  header.segment_count = log.segments().count();
  return header;
}

// A file that is written or read from one end to the other, with a checksum over all of it.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool Write(std::span<const std::byte> bytes) {
    sum_.Add(bytes);
    while (!bytes.empty()) {
      const ssize_t n = write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }
  bool Read(std::span<std::byte> bytes) {
    std::span<std::byte> rest = bytes;
    while (!rest.empty()) {
      const ssize_t n = read(fd_, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      rest = rest.subspan(static_cast<std::size_t>(n));
    }
    sum_.Add(bytes);
    return true;
  }
  [[nodiscard]] std::uint64_t sum() const { return sum_.Value(); }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  ChecksumStream sum_;
};

template <typename T>
std::span<std::byte> BytesOf(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

bool WriteAll(File& file, const Log& log, const Engine& engine) {
  Header header = HeaderOf(log);
  if (!file.Write(BytesOf(header))) return false;
  if (!engine.Save([&](std::span<const std::byte> bytes) { return file.Write(bytes); })) return false;
  std::uint64_t sum = file.sum();
  return file.Write(BytesOf(sum));
}

}  // namespace

Status WriteCheckpoint(const std::string& path, const Log& log, const Engine& engine) {
  // Otherwise the index may be based on bytes that were misread.
  if (Status status = log.pool().media().Health(); !status.ok()) return status;
  const std::string fresh = path + ".new";
  File file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.fd() >= 0 && WriteAll(file, log, engine) && fdatasync(file.fd()) == 0 &&
      rename(fresh.c_str(), path.c_str()) == 0) {
    return Status::Ok();
  }
  const int error = errno;
  unlink(fresh.c_str());
  return {error == ENOSPC || error == EDQUOT ? Code::kNoSpace : Code::kIoError,
          fmt::format("no checkpoint of the index was written to {}: {}: the next start replays the log", path,
                      std::strerror(error))};
}

Status ReadCheckpoint(const std::string& path, const Log& log, Engine& engine) {
  File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return {Code::kUnavailable, fmt::format("{}: {}", path, std::strerror(errno))};
  const auto unusable = [&](std::string_view why) {
    engine.RollBackTo(Lsn{});
    return Status{Code::kCorrupt,
                  fmt::format("the checkpoint of the index {} is not used, for it {}: the log is replayed", path, why)};
  };
  struct stat info {};
  Header header{};
  if (fstat(file.fd(), &info) != 0 || !file.Read(BytesOf(header)) || header.magic != kMagic) return unusable("is none");
  if (header.version != kVersion) return unusable("is of another version");
  const Header expected = HeaderOf(log);
  if (std::memcmp(&header, &expected, sizeof header) != 0) return unusable("belongs to another state of the log");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  std::uint64_t sum = 0;
  if (!engine.Load([&](std::span<std::byte> bytes) { return file.Read(bytes); }, size)) return unusable("is cut short");
  const std::uint64_t computed = file.sum();
  if (!file.Read(BytesOf(sum)) || sum != computed) return unusable("is damaged");
  return Status::Ok();
}

}  // namespace faha
