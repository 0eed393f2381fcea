// The log and its keyspace without Redis and without peers: how fast it takes puts, what cleaning costs, how fast it
// recovers.  One thread.  Each measurement prints its set-up; two that are compared run in turns, in one process.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "faha/store.h"

namespace faha::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kKeyBytes = 16;
constexpr std::uint64_t kRecordBytes = 16 + kKeyBytes;  // and the value, rounded up to 8

struct Settings {
  std::string dir = "/dev/shm";
  std::string domain = "auto";
  std::size_t value_bytes = 64;
  std::uint64_t keys = 1'000'000;
  std::uint64_t pool_bytes = 2ULL << 30;
  std::uint64_t segment_bytes = 16ULL << 20;
  std::uint32_t batch_bytes = 64U << 10;
  std::uint64_t commit_every = 400;
  int fill = 80;
  double seconds = 2;
  int rounds = 5;
};

[[noreturn]] void Die(const std::string& what) {
  fmt::print(stderr, "log: {}\n", what);
  std::exit(1);
}

void Require(const Status& status) {
  if (!status.ok()) Die(status.ToString());
}

double Seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A store of its own on a new pool.
class Subject : public StoreObserver {
 public:
  Subject(const Settings& settings, std::string name, std::uint64_t pool_bytes)
      : settings_(settings), path_(fmt::format("{}/faha-bench-log-{}.{}", settings.dir, getpid(), name)) {
    options_.pool_path = path_;
    options_.checkpoint_path = path_ + ".index";
    options_.pool_bytes = pool_bytes;
    options_.segment_bytes = settings.segment_bytes;
    options_.batch_bytes = settings.batch_bytes;
    options_.persistence_domain = settings.domain;
    value_.assign(settings.value_bytes, 'v');
    Open();
  }
  ~Subject() override {
    store_.reset();
    unlink(path_.c_str());
    unlink(options_.checkpoint_path.c_str());
  }
  void OnPrimary() override {}
  void OnFollowing(const Member&) override {}

  void Open() {
    auto opened = Store::Open(options_, this, {});
    Require(opened.status());
    store_ = std::move(opened.value());
    while (store_->Info().state != "serving") store_->Tick();
  }
  // With a checkpoint, as at a planned stop, or without, as in a crash.
  void Close(bool planned) {
    if (planned) Require(store_->Checkpoint());
    store_.reset();
    if (!planned) unlink(options_.checkpoint_path.c_str());
  }
  [[nodiscard]] Store& store() { return *store_; }
  // How long each turn, the puts of a commit and itself, took since the last call (us).
  std::vector<double> TakeTurns() {
    turn_start_ = Clock::now();
    return std::exchange(turns_, {});
  }

  void Put(std::uint64_t key) {
    KeyText text;
    Put(NameOf(key, text));
  }
  void Put(std::string_view name) {
    Require(store_->CheckWrite(kKeyBytes + value_.size(), 1));
    Require(store_->Put(0, name, {value_}));
    store_->EndUnit();
    if (++puts_ % settings_.commit_every != 0) return;
    Require(store_->Commit());
    const auto now = Clock::now();
    turns_.push_back(std::chrono::duration<double, std::micro>(now - turn_start_).count());
    turn_start_ = now;
  }
  void Fill(std::uint64_t keys) {
    for (std::uint64_t key = 0; key < keys; ++key) Put(key);
    Require(store_->Commit());
  }
  // The same where several keys are known at once, as those of an MSET are.
  void FillAhead(std::uint64_t keys) {
    std::array<KeyText, Store::kPrefetchKeys> texts;
    std::array<std::string_view, Store::kPrefetchKeys> names;
    for (std::uint64_t key = 0; key < keys; key += names.size()) {
      const auto some = std::span(names).first(std::min<std::uint64_t>(names.size(), keys - key));
      for (std::size_t i = 0; i < some.size(); ++i) some[i] = NameOf(key + i, texts[i]);
      store_->Prefetch(0, some);
      for (const std::string_view name : some) Put(name);
    }
    Require(store_->Commit());
  }
  // Uniform overwrites for a while; puts a second.
  double Overwrite(std::uint64_t keys, double seconds) {
    const auto start = Clock::now();
    const std::uint64_t before = puts_;
    while (true) {
      for (int i = 0; i < 1000; ++i) Put(random_() % keys);
      if (Seconds(start) >= seconds) break;
    }
    Require(store_->Commit());
    return static_cast<double>(puts_ - before) / Seconds(start);
  }

 private:
  using KeyText = std::array<char, kKeyBytes>;
  static std::string_view NameOf(std::uint64_t key, KeyText& text) {
    for (std::size_t i = kKeyBytes; i-- > 0; key /= 10) text[i] = static_cast<char>('0' + key % 10);
    return {text.data(), kKeyBytes};
  }

  const Settings& settings_;
  std::string path_;
  Options options_;
  std::unique_ptr<Store> store_;
  std::string value_;
  std::uint64_t puts_ = 0;
  std::vector<double> turns_;
  Clock::time_point turn_start_ = Clock::now();
  std::mt19937_64 random_{1};
};

std::uint64_t RecordSize(const Settings& settings) { return (kRecordBytes + settings.value_bytes + 7) / 8 * 8; }

void PrintSetUp(const Settings& settings, Subject& subject, const char* what) {
  const StoreInfo info = subject.store().Info();
  fmt::print("# {}: one thread, no Redis, no peers; keys of {} bytes, values of {}, a commit every {} puts\n", what,
             kKeyBytes, settings.value_bytes, settings.commit_every);
  fmt::print(
      "# pool of {} MiB in {} segments of {} MiB in {}, domain {}, granule {} (memory stands in for the medium)\n",
      info.pool_bytes >> 20, info.segments, info.segment_bytes >> 20, settings.dir, DomainName(info.domain),
      info.granule);
}

// New keys at first, then overwrites: what the log takes when it need not clean.
void Puts(const Settings& settings) {
  std::vector<double> rates[2][2];
  for (int round = 0; round < settings.rounds; ++round) {
    for (const bool ahead : {false, true}) {
      Subject subject(settings, "puts", settings.pool_bytes);
      if (round == 0 && !ahead) PrintSetUp(settings, subject, "puts");
      for (const bool again : {false, true}) {
        const auto start = Clock::now();
        ahead ? subject.FillAhead(settings.keys) : subject.Fill(settings.keys);
        rates[ahead][again].push_back(static_cast<double>(settings.keys) / Seconds(start) / 1e6);
      }
      if (subject.store().Info().cleaned_segments > 0) Die("the pool is too small: it was cleaned; raise --pool-bytes");
    }
  }
  fmt::print("million puts/s                            new keys  overwrites in the same order\n");
  fmt::print("one at a time                             {:>8.2f}  {:>8.2f}\n", Median(rates[0][0]),
             Median(rates[0][1]));
  fmt::print("{} keys known at once, as to an MSET       {:>8.2f}  {:>8.2f}\n", Store::kPrefetchKeys,
             Median(rates[1][0]), Median(rates[1][1]));
}

// The same uniform overwrites of the same keys: in a pool that is `fill` percent full of them, and in one so large that
// nothing is cleaned meanwhile.
void Cleaning(const Settings& settings) {
  const std::uint64_t room = settings.pool_bytes - (2ULL << 20);
  const std::uint64_t keys = room / 100 * settings.fill / RecordSize(settings);
  Subject full(settings, "full", settings.pool_bytes);
  Subject empty(settings, "empty", settings.pool_bytes * 4);
  PrintSetUp(settings, full, "cleaning");
  full.Fill(keys);
  // Every segment has been written anew before anything is measured: what is measured is the steady state.
  const std::uint64_t warm = room * 2 / RecordSize(settings);
  std::mt19937_64 random(7);
  for (std::uint64_t i = 0; i < warm; ++i) full.Put(random() % keys);
  Require(full.store().Commit());
  empty.Fill(keys);
  std::vector<double> full_rates, empty_rates, full_turns, empty_turns;
  const StoreInfo before = full.store().Info();
  for (int round = 0; round < settings.rounds; ++round) {
    for (const bool cleans : {false, true}) {
      Subject& subject = cleans ? full : empty;
      (void)subject.TakeTurns();
      (cleans ? full_rates : empty_rates).push_back(subject.Overwrite(keys, settings.seconds));
      const auto turns = subject.TakeTurns();
      auto& all = cleans ? full_turns : empty_turns;
      all.insert(all.end(), turns.begin(), turns.end());
    }
  }
  const StoreInfo after = full.store().Info();
  const double put = static_cast<double>((after.records - before.records) * RecordSize(settings));
  const double written = static_cast<double>(after.batch_bytes - before.batch_bytes);
  if (empty.store().Info().cleaned_segments > 0) Die("the other pool was cleaned, too: lower --seconds or --rounds");
  fmt::print("{} keys: {} % of the full pool\n", keys, settings.fill);
  fmt::print("no cleaning   {:>6.2f} million/s\n{} % full     {:>6.2f} million/s = {:.2f} of it\n",
             Median(empty_rates) / 1e6, settings.fill, Median(full_rates) / 1e6,
             Median(full_rates) / Median(empty_rates));
  const auto print_turns = [](const char* of, std::vector<double> times) {
    std::sort(times.begin(), times.end());
    fmt::print("{:<13} a turn: median {:.0f} us, 99 % {:.0f} us, 99.9 % {:.0f} us, longest {:.0f} us\n", of,
               times[times.size() / 2], times[times.size() * 99 / 100], times[times.size() * 999 / 1000], times.back());
  };
  print_turns("no cleaning", std::move(empty_turns));
  print_turns("with cleaning", std::move(full_turns));
  fmt::print("written to the medium / records put: {:.2f}; segments cleaned: {}\n", written / put,
             after.cleaned_segments - before.cleaned_segments);
}

// What a restart costs with that many keys.
void Recover(const Settings& settings) {
  const std::uint64_t bytes = settings.keys * RecordSize(settings) * 11 / 10 + 8 * settings.segment_bytes;
  Subject subject(settings, "recover", std::max(settings.pool_bytes, bytes));
  PrintSetUp(settings, subject, "recover");
  subject.Fill(settings.keys);
  std::vector<double> times[2];
  for (int round = 0; round < settings.rounds; ++round) {
    for (const bool planned : {false, true}) {
      subject.Close(planned);
      const auto start = Clock::now();
      subject.Open();
      times[planned].push_back(Seconds(start));
      if (subject.store().Size(0) != settings.keys) Die("keys are missing");
    }
  }
  fmt::print("{} keys: after a crash {:.3f} s, after a planned stop {:.3f} s\n", settings.keys, Median(times[0]),
             Median(times[1]));
}

}  // namespace
}  // namespace faha::bench

int main(int argc, char** argv) {
  faha::bench::Settings settings;
  CLI::App app("Measures the log without Redis: puts, cleaning or recovery.");
  app.add_option("--dir", settings.dir, "where the pool is made")->capture_default_str();
  app.add_option("--domain", settings.domain, "faha.persistence-domain")->capture_default_str();
  app.add_option("--value-bytes", settings.value_bytes)->capture_default_str();
  app.add_option("--keys", settings.keys, "of puts and recover")->capture_default_str();
  app.add_option("--pool-bytes", settings.pool_bytes)->capture_default_str();
  app.add_option("--segment-bytes", settings.segment_bytes)->capture_default_str();
  app.add_option("--batch-bytes", settings.batch_bytes)->capture_default_str();
  app.add_option("--commit-every", settings.commit_every, "puts")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--fill", settings.fill, "percent, of cleaning")->capture_default_str()->check(CLI::Range(1, 95));
  app.add_option("--seconds", settings.seconds, "of each round of cleaning")->capture_default_str();
  app.add_option("--rounds", settings.rounds)->capture_default_str()->check(CLI::PositiveNumber);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_subcommand("puts", "inserts and overwrites without cleaning")->callback([&] { faha::bench::Puts(settings); });
  app.add_subcommand("cleaning", "overwrites of a full pool beside an empty one")->callback([&] {
    faha::bench::Cleaning(settings);
  });
  app.add_subcommand("recover", "a restart")->callback([&] { faha::bench::Recover(settings); });
  CLI11_PARSE(app, argc, argv);
  return 0;
}
