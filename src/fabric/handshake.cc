#include "fabric/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>

namespace faha {

namespace {

// These values are not among the types of the replication protocol's messages.
constexpr std::byte kChallenge{0x81}, kResponse{0x82}, kProof{0x83}, kRefusal{0x84};

bool Fill(std::span<std::byte> number) {
  return RAND_bytes(reinterpret_cast<unsigned char*>(number.data()), static_cast<int>(number.size())) == 1;
}

bool Same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

bool Handshake::IsChallenge(std::span<const std::byte> head) {
  return head.size() == 1 + kNumberBytes && head[0] == kChallenge;
}

std::vector<std::byte> Handshake::Refusal() { return {kRefusal}; }

std::optional<Handshake::Number> Handshake::Prove(std::string_view side) const {
  std::vector<std::byte> message;
  const auto add = [&](std::span<const std::byte> bytes) { message.insert(message.end(), bytes.begin(), bytes.end()); };
  add(std::as_bytes(std::span(side)));
  add(accepting_number_);
  add(dialling_number_);
  add(std::as_bytes(std::span(binding_)));
  Number proof;
  unsigned size = 0;
  const auto* done = HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
                          reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                          reinterpret_cast<unsigned char*>(proof.data()), &size);
  if (done == nullptr || size != proof.size()) return std::nullopt;
  return proof;
}

std::vector<std::byte> Handshake::Challenge() {
  if (!Fill(accepting_number_)) state_ = State::kRefused;
  std::vector<std::byte> head{kChallenge};
  head.insert(head.end(), accepting_number_.begin(), accepting_number_.end());
  return head;
}

std::vector<std::byte> Handshake::Answer(std::span<const std::byte> head) {
  const State before = state_;
  state_ = State::kRefused;
  if (before != State::kGoing || head.empty()) return {};
  refused_by_peer_ = head.size() == 1 && head[0] == kRefusal;
  const auto rest = head.subspan(1);
  if (accepting_) {
    if (head[0] != kResponse || rest.size() != 2 * kNumberBytes) return {};
    std::copy_n(rest.begin(), kNumberBytes, dialling_number_.begin());
    const auto expected = Prove("dial"), proof = Prove("accept");
    if (!expected || !proof || !Same(*expected, rest.subspan(kNumberBytes))) return {};
    state_ = State::kDone;
    std::vector<std::byte> answer{kProof};
    answer.insert(answer.end(), proof->begin(), proof->end());
    return answer;
  }
  if (!answered_) {
    if (!IsChallenge(head)) return {};
    answered_ = true;
    std::copy_n(rest.begin(), kNumberBytes, accepting_number_.begin());
    if (!Fill(dialling_number_)) return {};
    const auto proof = Prove("dial");
    if (!proof) return {};
    state_ = State::kGoing;
    std::vector<std::byte> answer{kResponse};
    answer.insert(answer.end(), dialling_number_.begin(), dialling_number_.end());
    answer.insert(answer.end(), proof->begin(), proof->end());
    return answer;
  }
  const auto expected = Prove("accept");
  if (head[0] == kProof && expected && Same(*expected, rest)) state_ = State::kDone;
  return {};
}

}  // namespace faha
