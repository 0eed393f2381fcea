// Who dials and who accepts prove to each other that they know the secret, by HMAC-SHA256 over fresh numbers of both.
// Thread: main loop only.
//   accepting: challenge(A) ->           dialling: -> response(D, HMAC(secret, "dial", A, D, binding))
//   accepting: proof(HMAC(secret, "accept", A, D, binding)) ->
// Nothing but these three, each once, is read or sent before both are convinced; a recording of them is of no use.
// Who is not convinced says so and hangs up:
//   refusal() ->
// It tells no more than that.  Without one, a connection that ends early says nothing about secrets.
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

  // `binding`: of the channel that it runs in (Channel::Binding).  Proofs of one channel are of no use in another, so
  // that nobody in the middle can pass them on.
  Handshake(std::string secret, bool accepting, std::string binding = {})
      : secret_(std::move(secret)), binding_(std::move(binding)), accepting_(accepting) {}
  // What the accepting side sends first.
  std::vector<std::byte> Challenge();
  // What to send in answer to `head`, if anything; then state() tells how it stands.
  std::vector<std::byte> Answer(std::span<const std::byte> head);
  [[nodiscard]] State state() const { return state_; }
  // kRefused: is it the peer that refuses?
  [[nodiscard]] bool refused_by_peer() const { return refused_by_peer_; }
  // What whoever refuses sends last.
  static std::vector<std::byte> Refusal();

  // Is `head` a challenge?  To a node without a secret it says what is missing.
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
