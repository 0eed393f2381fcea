// faha-check on pools that are sound, torn, damaged and none.
#include "tools/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "store/engine.h"
#include "tests/unit/tools/image.h"
#include "tools/extract.h"
#include "tools/survey.h"
#include "tools/text.h"

namespace faha {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Ran {
  int code = -1;
  std::string out, err;
};

class CheckTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "faha-check-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string Path(const char* name = "pool") const { return (folder_ / name).string(); }
  static std::string Read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  void Write(std::string_view bytes) const { std::ofstream(Path(), std::ios::binary) << bytes; }
  void Write(const Disk& disk) const {
    Write(std::string_view(reinterpret_cast<const char*>(disk->written.data()), disk->written.size()));
  }

  // Runs faha-check POOL OPTION..., which must leave the pool as it is.
  [[nodiscard]] Ran Run(std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"faha-check", Path()});
    return RunRaw(options);
  }
  [[nodiscard]] Ran RunRaw(const std::vector<std::string>& words) const {
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    char *out_text = nullptr, *err_text = nullptr;
    std::size_t out_size = 0, err_size = 0;
    std::FILE* out = open_memstream(&out_text, &out_size);
    std::FILE* err = open_memstream(&err_text, &err_size);
    const std::string before = Read(Path());
    Ran ran;
    ran.code = Check(static_cast<int>(argv.size()), argv.data(), out, err);
    std::fclose(out);
    std::fclose(err);
    ran.out.assign(out_text, out_size);
    ran.err.assign(err_text, err_size);
    std::free(out_text);
    std::free(err_text);
    EXPECT_TRUE(Read(Path()) == before) << "the pool was changed";
    return ran;
  }
  // The keys that --extract saves, and its exit code.
  [[nodiscard]] std::pair<int, Keys> Extracted(const Disk& disk) const {
    Write(disk);
    std::filesystem::remove(Path("keys"));
    const Ran ran = Run({"--extract", Path("keys")});
    EXPECT_EQ(ran.err, "");
    EXPECT_FALSE(std::filesystem::exists(Path("keys.new")));
    return {ran.code, Load(Read(Path("keys")))};
  }

  std::filesystem::path folder_;
};

// Of every kind something, in batches 1 to 8.
void WriteSome(Writer& node) {
  node.Put(0, "a", "1");
  node.Seal();
  node.Put(0, std::string("b\0\r\n\xff", 5), std::string("\0\x01\x80", 3), 4102444800000);
  node.Put(3, "c", "x");
  node.Seal();
  node.Put(5, "d", "gone with its database");
  node.Seal();
  node.Delete(0, "a");
  node.Seal();
  node.Flush(DbId{5});
  node.Seal();
  node.Put(3, "c", "y");
  node.Seal();
  node.Put(5, "e", "");
  node.Seal();
  node.Put(0, "last", "z");
  node.Seal();
}

const std::string kBinary("b\0\r\n\xff", 5);
Keys SomeKeys() {
  return {{{0, kBinary}, {std::string("\0\x01\x80", 3), 4102444800000}},
          {{3, "c"}, {"y"}},
          {{5, "e"}, {""}},
          {{0, "last"}, {"z"}}};
}

TEST_F(CheckTest, ACleanPoolIsCountedAndExtracted) {
  Writer node;
  WriteSome(node);
  const auto [code, keys] = Extracted(node.disk);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(keys, SomeKeys());
  const Ran ran = Run();
  EXPECT_EQ(ran.code, 0);
  for (const char* line :
       {"verdict: clean\n", "keys, db 0: 2\n", "keys, db 3: 1\n", "keys, db 5: 1\n", "keys: 4\n", "lsn: 1 to 8; 0 gaps",
        "records, put: 7,", "records, delete: 1,", "records, flush: 1,", "batches: 8, 1024 bytes",
        "segments: 1 in the table, 7 free\n", "epochs: 1 of them, 1 to 1\n", "known as committed: 7\n"}) {
    EXPECT_THAT(ran.out, HasSubstr(line));
  }
  EXPECT_THAT(ran.out, HasSubstr("cluster: " + node.pool->cluster().ToString() + "\n"));
  EXPECT_THAT(ran.out, HasSubstr("node: " + node.pool->node().ToString() + "\n"));
}

TEST_F(CheckTest, ATornTailWouldBeCut) {
  Writer node;
  node.commits = false;
  WriteSome(node);
  node.ByteOf(Lsn{6}, 80) ^= std::byte{1};
  const auto [code, keys] = Extracted(node.disk);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(keys.count({0, "last"}), 0U);
  EXPECT_EQ((keys.at({3, "c"})), Stored{"x"});
  const Ran ran = Run();
  EXPECT_THAT(ran.out, HasSubstr("note: 2 whole batches do not belong to the log, which ends at batch 5"));
  EXPECT_THAT(ran.out, HasSubstr("segment 0, 128 bytes from byte 640 on: batch 6 (as its header tells) is torn"));
  EXPECT_THAT(Run({"--dump"}).out, HasSubstr("8.1 put db 0 key \"last\" value \"z\" not-in-the-log\n"));
}

TEST_F(CheckTest, ATornLastBatchIsNoDamage) {
  Writer node;
  WriteSome(node);
  node.ByteOf(Lsn{8}, 80) ^= std::byte{1};
  Write(node.disk);
  const Ran ran = Run();
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("batch 8 (as its header tells) is torn"));
  EXPECT_THAT(ran.out, HasSubstr("lsn: 1 to 7;"));
}

TEST_F(CheckTest, TornEntriesAndSuperblocksAreCorrectedByTheServer) {
  Writer node;
  WriteSome(node);
  node.FillSegment();
  ASSERT_TRUE(node.pool->SetPromise(Epoch{2}, node.pool->node()).ok());
  const auto intact = node.disk->written;
  const auto damaged_at = [&](std::uint64_t offset) {
    node.disk->written = intact;
    node.disk->written[offset] ^= std::byte{1};
    Write(node.disk);
    return Run();
  };
  for (const std::uint64_t entry : {0U, 1U}) {
    const Ran ran = damaged_at(format::kTableOffset + entry * sizeof(format::SegmentEntry) + 8);
    EXPECT_EQ(ran.code, 1);
    EXPECT_THAT(ran.out, HasSubstr("note: the table entry of segment " + std::to_string(entry) + " is damaged"));
    EXPECT_THAT(ran.out, HasSubstr("keys, db 0: 2\n"));
  }
  const Ran unused = damaged_at(format::kTableOffset + 5 * sizeof(format::SegmentEntry));
  EXPECT_EQ(unused.code, 1);
  EXPECT_THAT(unused.out, HasSubstr("note: segment 5 holds nothing of the log"));
  const Ran super = damaged_at(format::kSuperblockStride + 40);
  EXPECT_EQ(super.code, 1);
  EXPECT_THAT(super.out, HasSubstr("note: superblock copy 1 is not whole"));
}

// Whichever batch is damaged, and wherever in it: what is saved is what the others make.
TEST_F(CheckTest, ADamagedBatchTakesNothingElseWithIt) {
  Writer node;
  WriteSome(node);
  node.Put(0, "behind", "1");
  node.Seal();
  node.Put(0, "behind all", "1");
  node.Seal();
  const auto intact = node.disk->written;
  for (const std::uint64_t offset : {0U, 8U, 56U, 70U}) {
    for (Lsn lsn{1}; lsn.value <= 8; lsn = lsn.Next()) {
      Keys expected = SomeKeys();
      expected[{0, "behind"}] = expected[{0, "behind all"}] = {"1"};
      if (lsn.value == 2) expected.erase({0, kBinary});
      if (lsn.value == 4) expected[{0, "a"}] = {"1"};
      if (lsn.value == 5) expected[{5, "d"}] = {"gone with its database"};
      if (lsn.value == 6) expected[{3, "c"}] = {"x"};
      if (lsn.value == 7) expected.erase({5, "e"});
      if (lsn.value == 8) expected.erase({0, "last"});
      node.ByteOf(lsn, offset) ^= std::byte{1};
      const auto [code, keys] = Extracted(node.disk);
      EXPECT_EQ(code, 4) << lsn.value;
      EXPECT_EQ(keys, expected) << "batch " << lsn.value << " byte " << offset;
      node.disk->written = intact;
    }
  }
}

TEST_F(CheckTest, DamageIsNamed) {
  Writer node;
  WriteSome(node);
  node.ByteOf(Lsn{4}, 70) ^= std::byte{1};
  Write(node.disk);
  const Ran located = Run();
  EXPECT_EQ(located.code, 4);
  EXPECT_THAT(located.out, HasSubstr("damage: CORRUPT the pool does not add up to batch 7"));
  EXPECT_THAT(located.out, HasSubstr("damage: segment 0, 128 bytes from byte 384 on: batch 4 (as its header tells)"));
  EXPECT_THAT(located.out, HasSubstr("left out: 1 batches: 4\nleft out: nothing else"));
  EXPECT_THAT(located.out, HasSubstr("verdict: DAMAGED"));
  node.ByteOf(Lsn{6}, 0) ^= std::byte{1};  // not even known as a batch
  Write(node.disk);
  const Ran unknown = Run();
  EXPECT_EQ(unknown.code, 4);
  EXPECT_THAT(unknown.out, HasSubstr("segment 0, 128 bytes from byte 640 on: what stands there is damaged or torn"));
  EXPECT_THAT(unknown.out, HasSubstr("left out: perhaps more"));
  EXPECT_THAT(unknown.out, HasSubstr("0 gaps up to batch 0 may have been left by cleaning, 2 behind it cannot"));
}

// Writes the batch `lsn` again with a record changed, so that its checksum holds.
void Reseal(Writer& node, Lsn lsn, std::uint64_t offset, std::byte value) {
  node.ByteOf(lsn, offset) = value;
  std::byte* at = &node.ByteOf(lsn, 0);
  const auto view = BatchView::Trusted(at);
  const std::uint64_t checksum = BatchChecksum(
      view.header(), std::span(at + sizeof(format::BatchHeader), view.header().payload_bytes), node.pool->log_key());
  std::memcpy(at + offsetof(format::BatchHeader, checksum), &checksum, sizeof checksum);
}

TEST_F(CheckTest, ARecordOfAnotherReleaseIsNamedAndLeftOut) {
  for (const Lsn lsn : {Lsn{6}, Lsn{8}}) {
    Writer node;
    WriteSome(node);
    Reseal(node, lsn, sizeof(format::BatchHeader), std::byte{99});
    const auto [code, keys] = Extracted(node.disk);
    EXPECT_EQ(code, 4);
    EXPECT_EQ((keys.at({3, "c"})), Stored{lsn == Lsn{6} ? "x" : "y"});
    EXPECT_EQ(keys.count({0, "last"}), lsn == Lsn{8} ? 0U : 1U);
    EXPECT_THAT(Run().out, HasSubstr("damage: batch " + std::to_string(lsn.value) + " in segment 0 at byte "));
    EXPECT_THAT(Run({"--dump"}).out, HasSubstr(" malformed\n"));
  }
}

// Somebody's value that looks like a batch is a value.
TEST_F(CheckTest, ABatchInAValueIsNone) {
  Writer node;
  WriteSome(node);
  BatchBuilder forged;
  forged.Add({.key = "forged", .value = "x"});
  format::BatchHeader header = BatchView::Trusted(&node.ByteOf(Lsn{8}, 0)).header();
  header.lsn = 100;
  header.flags = 0;
  const auto bytes = forged.Seal(header, 64, node.pool->log_key());
  const std::string key(48, 'k');  // so that the value starts on a granule
  node.Put(0, key, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  node.Seal();
  node.Put(0, "end", "1");
  node.Seal();
  node.ByteOf(Lsn{8}, 70) ^= std::byte{1};
  const auto [code, keys] = Extracted(node.disk);
  EXPECT_EQ(code, 4);
  EXPECT_EQ(keys.count({0, key}), 1U);
  EXPECT_EQ(keys.count({0, "end"}), 1U);
  EXPECT_EQ(keys.count({0, "forged"}), 0U);
}

// A unit of two batches, the first at the end of one segment, the second at the start of the next.
struct Straddling : Writer {
  Straddling() {
    Put(0, "before", "1");
    Seal();
    Put(9, "large", std::string(1'000'000, 'l'));
    Put(0, "first", "new");
    Put(9, "large too", std::string(100'000, 'l'));
    Put(0, "second", "new");
    EXPECT_EQ(log->end().lsn, Lsn{2});
    Seal();
    Put(0, "after", "1");
    Seal();
    Put(0, "last", "1");
    Seal();
    EXPECT_EQ(log->segments().size(), 2U);
  }
};

TEST_F(CheckTest, AUnitThatIsDamagedIsLeftOutAsAWhole) {
  for (const Lsn damaged : {Lsn{2}, Lsn{3}}) {
    for (const std::uint64_t offset : {0U, 70U}) {
      Straddling node;
      node.ByteOf(damaged, offset) ^= std::byte{1};
      const auto [code, keys] = Extracted(node.disk);
      EXPECT_EQ(code, 4);
      const Keys expected{{{0, "before"}, {"1"}}, {{0, "after"}, {"1"}}, {{0, "last"}, {"1"}}};
      EXPECT_EQ(keys, expected) << "batch " << damaged.value;
    }
  }
  EXPECT_THAT(Run().out, Not(HasSubstr("whose beginning is lost")));
  Straddling node;
  node.ByteOf(Lsn{2}, 70) ^= std::byte{1};
  Write(node.disk);
  EXPECT_THAT(Run().out, HasSubstr("left out: 1 units, 2 records, whose beginning is lost\n"));
}

// The rest of a unit whose beginning was cleaned away counts, but where it cannot be told from damage.
TEST_F(CheckTest, WhatCleaningTookIsNotLost) {
  Straddling node;
  node.commits = true;
  ASSERT_TRUE(node.log->AppendFree(0).ok());
  node.Seal();
  const Lsn freed = node.log->end().lsn;
  node.Put(0, "then", "1");
  node.Seal();
  {
    Write(node.disk);
    const Ran pending = Run();
    EXPECT_EQ(pending.code, 0) << pending.out;
    EXPECT_THAT(pending.out, HasSubstr("segment 0: hot, generation 1, freed, pending,"));
  }
  ASSERT_TRUE(node.log->Release(freed, [](const Segment&) { return true; }).ok());
  node.Put(0, "and then", "1");
  node.Seal();
  node.Put(0, "end", "1");
  node.Seal();
  const auto [clean, all] = Extracted(node.disk);
  EXPECT_EQ(clean, 0);
  EXPECT_EQ((all.at({0, "second"})), Stored{"new"});
  EXPECT_EQ(all.count({0, "first"}), 0U);
  EXPECT_THAT(Run().out, HasSubstr("lsn: 3 to 9; 1 gaps, 2 batches in them\n"));

  const Lsn damaged{freed.value + 1};
  node.ByteOf(damaged, 70) ^= std::byte{1};
  const auto [code, located] = Extracted(node.disk);
  EXPECT_EQ(code, 4);
  Keys expected = all;
  expected.erase({0, "then"});
  EXPECT_EQ(located, expected);

  node.ByteOf(damaged, 0) ^= std::byte{1};  // now anything may be missing
  const auto [again, unknown] = Extracted(node.disk);
  EXPECT_EQ(again, 4);
  expected.erase({0, "second"});
  expected.erase({9, "large too"});
  EXPECT_EQ(unknown, expected);
}

TEST_F(CheckTest, APoolThatIsBeingInstalledIsNotDamaged) {
  Straddling from;
  Writer to;
  ASSERT_TRUE(to.pool->Adopt(from.pool->cluster(), from.pool->geometry(), from.pool->log_key()).ok());
  ASSERT_TRUE(to.pool->BeginInstall({}, {}).ok());
  const auto land = [&](Lsn lsn) {
    const auto batch = *from.log->Find(lsn);
    return to.log->Land(batch.at, batch.bytes);
  };
  ASSERT_TRUE(land(Lsn{1}).ok());
  to.log->AllowGap();
  for (const Lsn lsn : {Lsn{3}, Lsn{4}, Lsn{5}}) ASSERT_TRUE(land(lsn).ok());
  EXPECT_FALSE(SurveyPool(*to.pool, {}).log) << "it does not add up";
  const auto [code, keys] = Extracted(to.disk);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(keys.count({0, "after"}), 1U);
  EXPECT_EQ(keys.count({0, "second"}), 0U);
  const Ran ran = Run();
  EXPECT_THAT(ran.out, HasSubstr("state: installing\n"));
  EXPECT_THAT(ran.out, HasSubstr("note: the log was being transferred"));
  // Whatever is damaged goes with it.
  to.disk->written[from.At(Lsn{4}).value + 70] ^= std::byte{1};
  Write(to.disk);
  const Ran damaged = Run();
  EXPECT_EQ(damaged.code, 1);
  EXPECT_THAT(damaged.out, HasSubstr("note: segment 1, 128 bytes from byte"));
}

TEST_F(CheckTest, WhatIsNoPoolIsAnError) {
  const auto fails = [&](std::string_view code) {
    const Ran ran = Run({"--extract", Path("keys")});
    EXPECT_EQ(ran.code, 8);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, testing::StartsWith("faha-check: " + std::string(code) + " "));
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
    EXPECT_FALSE(std::filesystem::exists(Path("keys")));
  };
  EXPECT_EQ(RunRaw({"faha-check", Path("absent")}).code, 8);
  Write("");
  fails("POOLSIZE");
  Write("short");
  fails("POOLSIZE");
  Write(std::string(4 << 20, '\0'));  // never used: a server would format it
  fails("BADPOOL");
  std::mt19937_64 random(1);
  std::string garbage(4 << 20, '\0');
  for (char& c : garbage) c = static_cast<char>(random());
  Write(garbage);
  fails("BADPOOL");
  Writer node;
  WriteSome(node);
  for (const std::size_t copy : {std::size_t{0}, format::kSuperblockStride})
    node.disk->written[copy + 8] = std::byte{9};
  Write(node.disk);
  fails("POOLVERSION");
}

TEST_F(CheckTest, AFileIsNeverOverwritten) {
  Writer node;
  WriteSome(node);
  Write(node.disk);
  for (const char* name : {"taken", "other.new"}) {
    std::ofstream(Path(name)) << "precious";
    const Ran ran = Run({"--extract", Path(std::string_view(name) == "taken" ? "taken" : "other")});
    EXPECT_EQ(ran.code, 8);
    EXPECT_THAT(ran.err, HasSubstr("exists"));
    EXPECT_EQ(Read(Path(name)), "precious");
  }
  EXPECT_FALSE(std::filesystem::exists(Path("other")));
  EXPECT_FALSE(std::filesystem::exists(Path("taken.new")));
  EXPECT_EQ(Run({"--extract", Path("no folder/keys")}).code, 8);
  EXPECT_EQ(Run({"--extract", "/dev/full"}).code, 8);
}

TEST_F(CheckTest, DumpsAreFiltered) {
  Writer node;
  WriteSome(node);
  Write(node.disk);
  EXPECT_EQ(Run({"--dump", "--key", "c"}).out,
            "2.2 put db 3 key \"c\" value \"x\"\n5.1 flush db 5\n6.1 put db 3 key \"c\" value \"y\"\n");
  EXPECT_EQ(Run({"--dump", "--key", "c", "--db", "3"}).out,
            "2.2 put db 3 key \"c\" value \"x\"\n6.1 put db 3 key \"c\" value \"y\"\n");
  EXPECT_EQ(
      Run({"--dump", "--db", "5"}).out,
      "3.1 put db 5 key \"d\" value \"gone with its database\"\n5.1 flush db 5\n7.1 put db 5 key \"e\" value \"\"\n");
  EXPECT_EQ(
      Run({"--dump", "--json", "--key", R"(b\x00\x0d\x0a\xff)", "--db", "0"}).out,
      R"({"type":"record","lsn":2,"number":1,"kind":"put","db":0,"key":"b\u0000\u000d\u000a\u00ff",)"
      R"("value_type":"string","value":"\u0000\u0001\u0080","expire_at":4102444800000,"moved_from":null,"in_log":true})"
      "\n");
  const std::string all = Run({"--dump"}).out;
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 8 + 9);
  EXPECT_THAT(all, HasSubstr("\n4.1 delete db 0 key \"a\"\n"));
}

TEST_F(CheckTest, SwappedDatabasesAreSavedAsClientsCallThem) {
  Writer node;
  node.Put(0, "zero", "0");
  node.Put(7, "seven", "7");
  node.Seal();
  node.Swap({{0, 7}, {7, 0}});
  node.Seal();
  node.Put(0, "more", "in 7");
  node.Seal();
  const Keys swapped{{{7, "zero"}, {"0"}}, {{0, "seven"}, {"7"}}, {{7, "more"}, {"in 7"}}};
  EXPECT_EQ(Extracted(node.disk), (std::pair{0, swapped}));
  EXPECT_THAT(Run().out, HasSubstr("keys, db 0: 1\nkeys, db 7: 2\n"));
  EXPECT_THAT(Run().out, HasSubstr("records, swap: 1, 24 bytes\n"));
  EXPECT_EQ(Run({"--dump", "--db", "0"}).out,
            "1.1 put db 0 key \"zero\" value \"0\"\n2.1 swap clients' db 0 is db 7, clients' db 7 is db 0\n"
            "3.1 put db 0 key \"more\" value \"in 7\"\n");
  node.Swap({});
  node.Seal();
  EXPECT_EQ(Extracted(node.disk).second.count({0, "zero"}), 1U);
  EXPECT_THAT(Run({"--dump"}).out, HasSubstr("\n4.1 swap nothing is swapped\n"));
  EXPECT_THAT(Run({"--dump", "--json"}).out,
              HasSubstr(R"("kind":"swap","db":0,"key":"","value_type":"string","value":"",)"));
}

TEST_F(CheckTest, WrongUsageIsToldApart) {
  Writer node;
  Write(node.disk);
  for (const std::vector<std::string>& options : std::vector<std::vector<std::string>>{{"--json"},
                                                                                       {"--key", "k"},
                                                                                       {"--db", "1"},
                                                                                       {"--dump", "--extract", "f"},
                                                                                       {"--dump", "--db", "65535"},
                                                                                       {"--unknown"},
                                                                                       {"another"},
                                                                                       {"--dump", "--key", "\\q"}}) {
    const Ran ran = Run(options);
    EXPECT_EQ(ran.code, 16) << options.front();
    EXPECT_THAT(ran.err, HasSubstr("faha-check: "));
  }
  EXPECT_EQ(RunRaw({"faha-check"}).code, 16);
  const Ran help = RunRaw({"faha-check", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("Exit codes:"));
}

TEST(Text, EscapesAreUndone) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  EXPECT_EQ(Unescape(Escape(all)), all);
  EXPECT_EQ(Escape("a\n\"\\\x7f"), R"(a\x0a\"\\\x7f)");
  for (const char* bad : {"\\", "\\x", "\\x1", "\\xg0", "\\n", "a\\x+1"}) EXPECT_EQ(Unescape(bad), std::nullopt) << bad;
  EXPECT_EQ(JsonString("a\"\\\n\xe9"), R"("a\u0022\u005c\u000a\u00e9")");
}

// --- Whatever is damaged: faha-check says what a server would do, and reads what a server would read.

// The keys of the log that a server opens.
Keys KeysOf(Log& log) {
  Engine engine(&log);
  engine.ApplyTo(log.end().lsn);
  Keys keys;
  for (const DbId db : {DbId{0}, DbId{1}}) {
    engine.ForEachKey(db, [&](std::string_view key) {
      const auto entry = engine.Get(db, key);
      keys[{db, std::string(key)}] = {std::string(entry->value), entry->expire_at};
    });
  }
  return keys;
}

void WriteAtRandom(Writer& node, std::mt19937_64& random) {
  for (std::uint64_t batches = random() % 40; batches > 0; --batches) {
    for (std::uint64_t i = random() % 4 + 1; i > 0; --i) {
      const auto db = static_cast<DbId>(random() % 2);
      const std::string key = std::to_string(random() % 10);
      const std::uint64_t chance = random() % 20;
      if (chance == 0) {
        node.Flush(db == 0 ? std::nullopt : std::optional(db));
      } else if (chance == 19) {
        db == 0 ? node.Swap({}) : node.Swap({{0, 1}, {1, 0}});
      } else if (chance < 4) {
        node.Delete(db, key);
      } else {
        node.Put(db, key, std::string(random() % 90'000, 'v'), random() % 3 == 0 ? 4102444800000 : kNoExpiry);
      }
    }
    if (random() % 3 != 0) node.commits = random() % 2 == 0;
    node.Seal();
    const Segment* oldest = node.log->segments().Tail(Head::kHot);
    if (oldest != nullptr && oldest->generation > 3 && random() % 4 == 0) {
      for (const auto& [generation, index] : node.log->segments().in_order()) {
        const Segment& segment = node.log->segments().at(index);
        if (segment.freed_by != Lsn{} || &segment == node.log->segments().Tail(segment.head)) continue;
        ASSERT_TRUE(node.log->AppendFree(index).ok());
        break;
      }
      node.Seal();
      ASSERT_TRUE(node.log->Release(node.log->known_committed(), [](const Segment&) { return true; }).ok());
    }
    if (node.log->segments().free() < 3) break;
  }
}

TEST_F(CheckTest, AgreesWithTheServerWhateverIsDamaged) {
  std::array<int, 9> seen{};
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    std::mt19937_64 random(seed);
    Disk disk;
    {
      Writer node;
      WriteAtRandom(node, random);
      disk = node.disk;
      // Mostly where something is: in the superblocks, the table, the segments.
      for (std::uint64_t i = random() % 4; i > 0; --i) {
        std::uint64_t at = random() % 2 == 0 ? random() % 512 / 256 * format::kSuperblockStride + random() % 256
                                             : format::kTableOffset + random() % (8 * sizeof(format::SegmentEntry));
        if (const Lsn lsn{random() % 40}; random() % 4 != 0 && node.log->Find(lsn))
          at = node.At(lsn).value + random() % 200;
        disk->written[at] ^= static_cast<std::byte>(1 << random() % 8);
      }
    }
    const auto before = disk->written;
    auto inspected = Pool::Inspect(std::make_unique<CrashMedia>(disk, 64));
    int code = 8;
    Keys keys;
    if (inspected.ok()) {
      const Survey survey = SurveyPool(**inspected, {});
      code = static_cast<int>(survey.grade());
      Replay replay(inspected->get(), &survey);
      replay.Run();
      std::filesystem::remove(Path("keys"));
      const auto count = Extract(**inspected, survey, replay, Path("keys"));
      ASSERT_TRUE(count.ok()) << count.status().ToString();
      keys = Load(Read(Path("keys")));
      EXPECT_EQ(*count, keys.size());
      EXPECT_EQ(replay.engine().Size(), keys.size());
    }
    ASSERT_TRUE(disk->written == before) << "the pool was changed, seed " << seed;
    ++seen[static_cast<std::size_t>(code)];

    auto opened = Pool::Open(std::make_unique<CrashMedia>(disk, 64), kSegment);
    ASSERT_EQ(opened.ok(), code != 8) << "seed " << seed;
    if (!opened.ok()) continue;
    auto log = Log::Open(opened->get(), {});
    ASSERT_EQ(log.ok(), code != 4) << "seed " << seed << log.status().ToString();
    if (log.ok()) {
      EXPECT_TRUE(keys == KeysOf(**log)) << "seed " << seed;
    }
    if (code == 0) {
      EXPECT_TRUE(disk->written == before) << "a clean pool needs no correction, seed " << seed;
    }
  }
  for (const int code : {0, 1, 4}) EXPECT_GT(seen[static_cast<std::size_t>(code)], 10) << "exit code " << code;
}

}  // namespace
}  // namespace faha
