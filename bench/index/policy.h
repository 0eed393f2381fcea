// Which values a hot tier of bounded bytes keeps: the policies that are compared.  Thread: that of main.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace faha::bench {

// A key that is absent enters, if it can, and others leave until what is held is within the capacity again.
class Policy {
 public:
  virtual ~Policy() = default;
  // A request of `key`, whose value always has `bytes`; true if it was held.
  virtual bool Access(std::uint32_t key, std::uint32_t bytes) = 0;
};

// `capacity` is in bytes; keys are below `keys`.
std::unique_ptr<Policy> MakeLru(std::uint64_t capacity, std::uint32_t keys);
// S3-FIFO as its paper has it: J. Yang, Y. Zhang, Z. Qiu, Y. Yue and R. Vinayak, "FIFO queues are all you need for
// cache eviction", SOSP 2023.
std::unique_ptr<Policy> MakeS3Fifo(std::uint64_t capacity, std::uint32_t keys);
// FaHA's own.
std::unique_ptr<Policy> MakeFahaHotTier(std::uint64_t capacity, std::uint32_t keys);
// L. A. Belady's optimum: what is used again last leaves first, at once if it has just come.  `requests` are those that
// Access() will be told of, in that order.  Of equal sizes nothing misses less; of others this is the usual
// approximation, for the optimum is hard to compute.
std::unique_ptr<Policy> MakeBelady(std::uint64_t capacity, std::uint32_t keys, std::span<const std::uint32_t> requests);

}  // namespace faha::bench
