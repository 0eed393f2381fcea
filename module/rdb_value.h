// Values in the form that they have in Redis' dumps and in the payloads of DUMP and RESTORE.  This code does not depend
// on Redis.  Thread: any; pure functions.
// A value is a type in one byte, and its contents.  The contents of a string are one string; those of a list, a set, a
// hash and a sorted set are the number of elements and these: strings, and behind each member of a sorted set its
// score, eight bytes, little-endian.
// A length has 1, 2, 5 or 9 bytes; a string is its length followed by its bytes.  (Redis also packs small collections
// and numbers, and compresses strings; no reader requires that.)
#pragma once

#include <cstdint>
#include <string>

#include "faha/keyspace.h"

namespace faha::module {

// The CRC-64 of Jones, "An Improved 64-bit Cyclic Redundancy Check for Protein Sequences" (2002), as Redis computes it.
std::uint64_t Crc64(std::uint64_t crc, std::string_view bytes);

void AppendRdbLength(std::string& to, std::uint64_t length);
void AppendRdbString(std::string& to, std::string_view text);

std::uint8_t RdbTypeOf(ValueType type);
// The contents of a collection.  Nothing is appended, and the result is false, if its bytes are damaged.
bool AppendRdbCollection(std::string& to, const Entry& entry);

// What RESTORE accepts as the value of `entry`; empty if its bytes are damaged.
std::string RdbPayload(const Entry& entry);

}  // namespace faha::module
