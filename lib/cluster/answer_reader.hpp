// answer_reader: bytes of the engine in, answers out; hiredis's parser behind it, and no socket.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "cluster/answer.hpp"

struct redisReader;

namespace brood::cluster::detail {

class answer_reader {
 public:
  answer_reader();
  ~answer_reader();
  answer_reader(const answer_reader&) = delete;
  answer_reader& operator=(const answer_reader&) = delete;

  /// Throws `malformed_answer`; then only the destructor may follow.
  void feed(std::span<const char> bytes);
  /// The next answer that is there as a whole. Throws as `feed`.
  std::optional<answer> next();

 private:
  redisReader* reader_;
};

/// Appends the request as the engine reads it.
void append_request(std::string& out, const words& request);

}  // namespace brood::cluster::detail
