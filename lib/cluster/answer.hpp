// answer: what the engine answered to one request, as a value.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/error.hpp"

namespace brood::cluster::detail {

/// An answer that has not the form it must have: the engine is not what it should be.
class malformed_answer : public error {
 public:
  malformed_answer() : error("brood::cluster: an answer of the engine that has not the form it must have") {}
};

struct answer {
  enum class kind : std::uint8_t { nothing, number, text, failure, list };

  kind what = kind::nothing;
  std::int64_t count = 0;
  std::string text;  // of a failure: "WORD and what there is to say"
  std::vector<answer> items;

  bool is_failure(std::string_view word) const noexcept {
    return what == kind::failure && text.size() > word.size() && text[word.size()] == ' ' &&
           text.compare(0, word.size(), word) == 0;
  }
  std::int64_t number() const {
    if (what != kind::number) throw malformed_answer();
    return count;
  }
  const std::string& string() const {
    if (what != kind::text) throw malformed_answer();
    return text;
  }
  std::string&& take_string() {
    if (what != kind::text) throw malformed_answer();
    return std::move(text);
  }
  bool is_nothing() const noexcept { return what == kind::nothing || (what == kind::list && items.empty()); }
  std::vector<answer>& list() {
    if (what == kind::nothing) return items;
    if (what != kind::list) throw malformed_answer();
    return items;
  }
  /// The item at `index` of a list.
  answer& at(std::size_t index) {
    if (what != kind::list || index >= items.size()) throw malformed_answer();
    return items[index];
  }
};

using words = std::vector<std::string>;

/// For `co_await` expressions, in which GCC 12 takes no braces.
template <class... Word>
words words_of(Word&&... each) {
  words result;
  (result.emplace_back(std::forward<Word>(each)), ...);
  return result;
}

}  // namespace brood::cluster::detail
