// Values in the form that they have in Redis' dumps and in the payloads of DUMP and RESTORE.  This code does not depend
// on Redis.  Thread: any; pure functions.
// A value is a type in one byte, and its contents.  The contents of a string are one string; those of a list, a set, a
// hash and a sorted set are the number of elements and these: strings, and behind each member of a sorted set its
// score, eight bytes, little-endian.
// A length has 1, 2, 5 or 9 bytes; a string is its length followed by its bytes.  (Redis also packs small collections
// and numbers, and compresses strings; no reader requires that.)
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "faha/keyspace.h"

namespace faha::module {

// The CRC-64 of Jones, "An Improved 64-bit Cyclic Redundancy Check for Protein Sequences" (2002), as Redis computes it.
std::uint64_t Crc64(std::uint64_t crc, std::string_view bytes);

void AppendRdbLength(std::string& to, std::uint64_t length);
void AppendRdbString(std::string& to, std::string_view text);

std::uint8_t RdbTypeOf(ValueType type);
// The contents of a collection, piece by piece.  False: an element is damaged, and what was told means nothing.
using RdbSink = std::function<void(std::string_view bytes)>;
bool TellRdbCollection(const Collection& collection, const RdbSink& sink);

// What RESTORE accepts as the value of `entry`; empty if it is damaged.
std::string RdbPayload(Keyspace& keyspace, const Entry& entry);

}  // namespace faha::module
