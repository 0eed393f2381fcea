#include "module/rdb_value.h"

#include <array>
#include <cstring>

#include "faha/collections.h"

namespace faha::module {
namespace {

// Tables to process eight bytes at a time: table k holds the effect that a byte has on the sum k bytes later.
using Tables = std::array<std::array<std::uint64_t, 256>, 8>;
constexpr Tables MakeTables() {
  constexpr std::uint64_t kPolynomial = 0x95ac9329ac4bc9b5;  // 0xad93d23594c935a9, the lowest bit first
  Tables tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t k = 1; k < tables.size(); ++k)
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
  }
  return tables;
}
constexpr Tables kTables = MakeTables();

// The version of dumps that the forms of values here belong to, which a payload carries.
constexpr std::uint16_t kRdbVersion = 10;

void TellLength(const RdbSink& sink, std::uint64_t length) {
  std::string bytes;
  AppendRdbLength(bytes, length);
  sink(bytes);
}

void AppendBigEndian(std::string& to, std::uint64_t number, int bytes) {
  while (bytes-- > 0) to.push_back(static_cast<char>(number >> 8 * bytes & 0xff));
}

// The number of elements, and then each of them, which put(sink, ...) passes on.
template <typename Kind, typename Put>
bool TellAll(const Collection& collection, const RdbSink& sink, Put put) {
  std::uint64_t count = 0;
  TellLength(sink, collection.Size());
  ForEachElement(static_cast<const Kind&>(collection), [&](auto... element) {
    put(element...);
    ++count;
  });
  return count == collection.Size();
}

}  // namespace

std::uint64_t Crc64(std::uint64_t crc, std::string_view bytes) {
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][word >> 8 * k & 0xff];
  }
  for (; i < bytes.size(); ++i) crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<std::uint8_t>(bytes[i])) & 0xff];
  return crc;
}

void AppendRdbLength(std::string& to, std::uint64_t length) {
  if (length < 1U << 6) {
    AppendBigEndian(to, length, 1);
  } else if (length < 1U << 14) {
    AppendBigEndian(to, length | 0x4000, 2);
  } else {
    const bool is_short = length <= UINT32_MAX;
    to.push_back(static_cast<char>(is_short ? 0x80 : 0x81));
    AppendBigEndian(to, length, is_short ? 4 : 8);
  }
}

void AppendRdbString(std::string& to, std::string_view text) {
  AppendRdbLength(to, text.size());
  to.append(text);
}

std::uint8_t RdbTypeOf(ValueType type) {
  switch (type) {
    case ValueType::kString: return 0;
    case ValueType::kList: return 1;
    case ValueType::kSet: return 2;
    case ValueType::kHash: return 4;
    case ValueType::kSortedSet: return 5;
  }
  return 0;
}

bool TellRdbCollection(const Collection& collection, const RdbSink& sink) {
  const auto tell = [&sink](std::string_view text) {
    TellLength(sink, text.size());
    sink(text);
  };
  switch (collection.type()) {
    case ValueType::kHash:
      return TellAll<Hash>(collection, sink, [&](std::string_view field, std::string_view value) {
        tell(field);
        tell(value);
      });
    case ValueType::kSet: return TellAll<Set>(collection, sink, tell);
    case ValueType::kSortedSet:
      return TellAll<SortedSet>(collection, sink, [&](std::string_view member, double score) {
        tell(member);
        sink({reinterpret_cast<const char*>(&score), sizeof score});
      });
    case ValueType::kList:
      return TellAll<List>(collection, sink, [&](std::uint64_t, std::string_view element) { tell(element); });
    case ValueType::kString: break;
  }
  return false;
}

std::string RdbPayload(Keyspace& keyspace, const Entry& entry) {
  std::string payload(1, static_cast<char>(RdbTypeOf(entry.type)));
  if (entry.type == ValueType::kString) {
    AppendRdbString(payload, entry.value);
  } else {
    const auto collection = OpenAny(keyspace, entry);
    const auto append = [&payload](std::string_view bytes) { payload.append(bytes); };
    if (collection == nullptr || !TellRdbCollection(*collection, append)) return {};
  }
  payload.append(reinterpret_cast<const char*>(&kRdbVersion), sizeof kRdbVersion);
  const std::uint64_t crc = Crc64(0, payload);
  return payload.append(reinterpret_cast<const char*>(&crc), sizeof crc);
}

}  // namespace faha::module
