// The longest insert while a table grows from empty.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/index/commands.h"
#include "bench/index/keys.h"
#include "bench/index/measure.h"
#include "bench/index/redis_dict.h"
#include "bench/index/structures.h"
#include "keyspace/indexes.h"

namespace faha::bench {
namespace {

using Nanos = std::uint32_t;  // up to four seconds

std::uint64_t Now(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// An array that a child process fills for its parent; all of it is there from the start.
template <typename T>
class Shared {
 public:
  explicit Shared(std::uint64_t size) {
    void* memory =
        ::mmap(nullptr, size * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) Die("there is no memory for the times: lower --keys");
    values_ = {static_cast<T*>(memory), size};
  }
  ~Shared() { ::munmap(values_.data(), values_.size_bytes()); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  [[nodiscard]] std::span<T> values() const { return values_; }

 private:
  std::span<T> values_;
};

// The texts of all keys, which stand in for the log where the index is measured alone.
class KeyTable final : public KeySource {
 public:
  explicit KeyTable(std::uint64_t count) : texts_(count) {
    for (std::uint64_t number = 0; number < count; ++number) texts_[number] = TextOf(number);
  }
  static LogAddress AddressOf(std::uint64_t number) { return LogAddress{(number + 1) * Place::kUnit}; }
  [[nodiscard]] std::string_view Text(std::uint64_t number) const { return ViewOf(texts_[number]); }
  [[nodiscard]] Key KeyAt(Place place) const override {
    return {0, Text(place.log_address().value / Place::kUnit - 1)};
  }
  [[nodiscard]] std::uint64_t size() const { return texts_.size(); }

 private:
  std::vector<KeyText> texts_;
};

// How long each insert took: by the wall's clock, and what of it the thread was on the processor.
struct Times {
  std::span<Nanos> wall, cpu;
};

// Calls put(number) for every key and times it; between(), which is not timed, follows each.  The thread's own clock
// takes longer to read than an insert takes, so it is read once per kBlock inserts: what the thread was off the
// processor in a block is taken off the block's longest insert.
template <typename Put, typename Between>
void TimeInserts(Times times, Put put, Between between) {
  constexpr std::uint64_t kBlock = 16;
  for (std::uint64_t first = 0; first < times.wall.size(); first += kBlock) {
    const std::uint64_t end = std::min<std::uint64_t>(first + kBlock, times.wall.size());
    const std::uint64_t cpu_start = Now(CLOCK_THREAD_CPUTIME_ID), wall_start = Now(CLOCK_MONOTONIC);
    std::uint64_t longest = first;
    for (std::uint64_t number = first; number < end; ++number) {
      const std::uint64_t start = Now(CLOCK_MONOTONIC);
      put(number);
      times.wall[number] = times.cpu[number] = static_cast<Nanos>(Now(CLOCK_MONOTONIC) - start);
      if (times.wall[number] > times.wall[longest]) longest = number;
      between();
    }
    const std::uint64_t wall = Now(CLOCK_MONOTONIC) - wall_start, cpu = Now(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
    if (wall > cpu) times.cpu[longest] -= std::min(times.cpu[longest], static_cast<Nanos>(wall - cpu));
  }
}

void InsertOurs(const KeyTable& keys, Times times) {
  LogKeyspace keyspace(keys.size());
  TimeInserts(
      times, [&](std::uint64_t number) { keyspace.Put(keys.Text(number), number); }, [&] { keyspace.SealIfFull(); });
  if (keyspace.engine().Size() != keys.size()) Die("our keyspace does not hold all keys");
}

void InsertIndex(const KeyTable& keys, Times times) {
  Indexes index(keys);
  TimeInserts(
      times, [&](std::uint64_t number) { (void)index.Upsert(0, keys.Text(number), KeyTable::AddressOf(number)); },
      [] {});
  if (index.Size() != keys.size()) Die("our index does not hold all keys");
}

void InsertDict(const KeyTable& keys, Times times) {
  RedisStart();  // threads do not survive a fork
  const RedisDict redis(RedisDictCreate());
  TimeInserts(
      times, [&](std::uint64_t number) { RedisDictAdd(redis.table(), keys.Text(number).data(), kKeyBytes, number); },
      [] {});
  if (dictSize(redis.table()) != keys.size()) Die("Redis' dict does not hold all keys");
}

// In a process of its own: memory is new to each.
void RunApart(const std::function<void()>& run) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) Die("the system refuses another process");
  if (child == 0) {
    run();
    ::_exit(0);  // nobody needs the table any more
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0) Die("a measurement has ended early");
}

std::uint64_t LongestOf(std::span<const Nanos> times) {
  return static_cast<std::uint64_t>(std::max_element(times.begin(), times.end()) - times.begin());
}

std::string Distribution(std::span<const Nanos> times) {
  std::vector<Nanos> sorted(times.begin(), times.end());
  const auto quantile = [&](double share) {
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(sorted.size() - 1));
    std::nth_element(sorted.begin(), at, sorted.end());
    return *at / 1e3;
  };
  const std::uint64_t longest = LongestOf(times);
  return fmt::format("{:>7.2f} {:>8.1f} {:>9.1f} {:>9.1f} at {:>9}", quantile(0.5), quantile(0.9999),
                     quantile(0.999999), times[longest] / 1e3, longest + 1);
}

void LowerTo(std::span<Nanos> least, std::span<const Nanos> times) {
  for (std::size_t i = 0; i < times.size(); ++i) least[i] = std::min(least[i], times[i]);
}

}  // namespace

void Insert(const InsertSettings& settings) {
  PrintSetUp(fmt::format(
      "insert: from empty to {} keys of {} bytes, values of 8; log in anonymous memory, all of it there from the start",
      settings.keys, kKeyBytes));
  fmt::print(
      "# each run in a process of its own; us: wall, and of it on the processor; dict with its rehashing steps, {}, "
      "freed memory given back by a thread\n"
      "# Engine::Put without the commit's writing of whole batches; the index alone reads keys from an array\n"
      "#{:<20}{:>7} {:>8} {:>9} {:>9}\n",
      RedisAllocator(), "", "p50", "p99.99", "p99.9999", "longest");
  const KeyTable keys(settings.keys);
  const Shared<Nanos> wall(settings.keys), cpu(settings.keys);
  const Times times{wall.values(), cpu.values()};
  const struct {
    const char* name;
    void (*run)(const KeyTable&, Times);
  } contestants[] = {{"Engine::Put", InsertOurs}, {"our index alone", InsertIndex}, {"Redis' dict", InsertDict}};
  for (const auto& contestant : contestants) {
    std::vector<Nanos> least_wall(settings.keys, UINT32_MAX), least_cpu(settings.keys, UINT32_MAX);
    for (int round = 0; round < settings.rounds; ++round) {
      RunApart([&] { contestant.run(keys, times); });
      LowerTo(least_wall, times.wall);
      LowerTo(least_cpu, times.cpu);
      fmt::print("{:<16} wall {}\n{:<16} cpu  {}\n", contestant.name, Distribution(times.wall), "",
                 Distribution(times.cpu));
    }
    // What takes long in every run at the same number of keys is its own doing; the rest is the machine's.
    const std::uint64_t own = LongestOf(least_wall), own_cpu = LongestOf(least_cpu);
    fmt::print("{:<16} in every run at the same key: wall {:.1f} us at {}, cpu {:.1f} us at {}\n", contestant.name,
               least_wall[own] / 1e3, own + 1, least_cpu[own_cpu] / 1e3, own_cpu + 1);
    std::fflush(stdout);
  }
}

}  // namespace faha::bench
