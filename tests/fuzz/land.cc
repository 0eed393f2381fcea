// Whatever a primary ships: a backup lands it or refuses it, and what it has landed it recovers.
#include "tests/fuzz/image.h"

namespace faha::fuzz {
namespace {

// A log that holds the first batch, so that there is something to follow.
Disk Start(const Image& image) {
  Disk disk;
  Format(&disk);
  auto opened = Open(&disk);
  FAHA_CHECK(opened->log->Land(image.batches[0].first, image.batches[0].second).ok(), "the first batch lands");
  disk.touched.clear();
  return disk;
}

// The digest of the batch that would follow, if the last one frees nothing.
std::uint64_t DigestBehind(const Log& log) {
  const format::BatchHeader header = log.Find(log.end().lsn)->view.header();
  return header.digest + header.checksum;
}

void Ship(Log& log, const Image& image, std::uint64_t& digest, Input& input) {
  auto [at, bytes] = image.batches[input.Take<std::uint8_t>() % image.batches.size()];
  const auto what = input.Take<std::uint8_t>();
  for (int patches = what >> 6; patches > 0; --patches) Patch(bytes, input);
  if ((what & 0x20) != 0) at.value += input.Take<std::uint32_t>();
  if ((what & 0x10) != 0) bytes.resize(input.Take<std::uint16_t>());
  if ((what & 0x08) != 0 && bytes.size() >= sizeof(format::BatchHeader)) Repair(bytes, digest);
  const LogEnd before = log.end();
  const Status status = log.Land(at, bytes);
  FAHA_CHECK(status.ok() || status.code() == Code::kProtocol, "a batch lands, or is the peer's fault");
  FAHA_CHECK((log.end() == before) != status.ok(), "a refused batch changes nothing");
  FAHA_CHECK(log.known_committed() < log.end().lsn, "a batch is committed after it is sealed");
  if (status.ok()) digest = DigestBehind(log);
}

}  // namespace
}  // namespace faha::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace faha;
  using namespace faha::fuzz;
  static const Image image;
  static const Disk start = Start(image);
  static Disk disk = start;
  Input input(data, size);
  LogEnd end;
  {
    auto opened = Open(&disk);
    std::uint64_t digest = DigestBehind(*opened->log);
    for (int i = 0; i < 10 && !input.empty(); ++i) Ship(*opened->log, image, digest, input);
    (void)WalkAll(*opened->log);
    end = opened->log->end();
  }
  auto again = Open(&disk);
  FAHA_CHECK(again.ok() && again->log->end() == end, "what landed is recovered");
  (void)WalkAll(*again->log);
  disk.Restore(start);
  return 0;
}
