// The side that dials and the side that accepts prove to each other that they know the secret, by HMAC-SHA256 over
// fresh numbers of both.
// Thread: main loop only.
//   accepting: challenge(A) ->           dialling: -> response(D, HMAC(secret, "dial", A, D, binding))
//   accepting: proof(HMAC(secret, "accept", A, D, binding)) ->
// Before both sides are convinced, only these three messages are read or sent, each once; a recording of them is of no
// use.  A side that is not convinced says so and hangs up:
//   refusal() ->
// The refusal tells no more than that.  If a connection ends early without a refusal, this says nothing about secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace faha {

class Handshake {
 public:
  static constexpr std::size_t kNumberBytes = 32;
  static constexpr std::size_t kMaxBytes = 1 + 2 * kNumberBytes;  // of a message
  enum class State { kGoing, kDone, kRefused };

  // `binding`: the Channel::Binding() of the channel that the handshake runs in.  It makes the proofs of one channel
  // useless in another, so that nobody in the middle can pass them on.
  Handshake(std::string secret, bool accepting, std::string binding = {})
      : secret_(std::move(secret)), binding_(std::move(binding)), accepting_(accepting) {}
  // What the accepting side sends first.
  std::vector<std::byte> Challenge();
  // Returns what to send in answer to `head`, if anything.  Afterwards state() tells how the handshake stands.
  std::vector<std::byte> Answer(std::span<const std::byte> head);
  [[nodiscard]] State state() const { return state_; }
  // If the state is kRefused: was it the peer that refused?
  [[nodiscard]] bool refused_by_peer() const { return refused_by_peer_; }
  // The last message of a side that refuses.
  static std::vector<std::byte> Refusal();

  // Is `head` a challenge?  To a node without a secret, a challenge shows that the secret is missing.
  static bool IsChallenge(std::span<const std::byte> head);

 private:
  using Number = std::array<std::byte, kNumberBytes>;
  [[nodiscard]] std::optional<Number> Prove(std::string_view side) const;

  std::string secret_, binding_;
  bool accepting_;
  State state_ = State::kGoing;
  bool answered_ = false;  // dialling: the challenge has come
  bool refused_by_peer_ = false;
  Number accepting_number_{}, dialling_number_{};
};

}  // namespace faha
