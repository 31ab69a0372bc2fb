// Commands as lines of text: the words of a POSIX shell (XCU 2.2 Quoting, 2.3 Token Recognition), without a shell.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "brood/process/command.hpp"
#include "system/calls.hpp"

namespace brood {
namespace {

constexpr std::array<std::string_view, 16> reserved = {"!",    "{",    "}",     "case", "do",  "done",
                                                       "elif", "else", "esac",  "fi",   "for", "if",
                                                       "in",   "then", "until", "while"};

bool is_reserved(std::string_view word) {
  return std::find(reserved.begin(), reserved.end(), word) != reserved.end();
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// `name=...`, which a shell takes as a variable where a command begins.
bool is_assignment(std::string_view word) {
  const std::size_t sign = word.find('=');
  if (sign == std::string_view::npos || sign == 0 || (word[0] >= '0' && word[0] <= '9')) return false;
  return std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(sign), is_name_character);
}

class line_parser {
 public:
  explicit line_parser(std::string_view line) : line_(line) {}

  std::vector<std::string> words() {
    for (skip_blanks(); at_ < line_.size(); skip_blanks()) {
      if (is_at('#')) {
        at_ = std::min(line_.find('\n', at_), line_.size());
        continue;
      }
      if (is_at('\n')) {
        if (!words_.empty() && has_more()) refuse("a second line");
        ++at_;
        continue;
      }
      read_word();
    }
    if (words_.empty()) throw std::invalid_argument("brood::command::parse: there is no command in the line");
    return std::move(words_);
  }

 private:
  bool is_at(char c) const { return at_ < line_.size() && line_[at_] == c; }
  void skip_blanks() {
    while (is_at(' ') || is_at('\t') || line_.substr(at_, 2) == "\\\n") at_ += is_at('\\') ? 2 : 1;
  }
  bool has_more() const { return line_.find_first_not_of(" \t\n", at_) != std::string_view::npos; }

  [[noreturn]] void refuse(const std::string& what) const {
    throw std::invalid_argument(fmt::format(
        "brood::command::parse: {} at {} of the line needs a shell: quote it if it is meant as it is, or use "
        "command(\"sh\", \"-c\", line): {}",
        what, at_, line_));
  }
  [[noreturn]] void refuse_open(const char* what, std::size_t where) const {
    throw std::invalid_argument(
        fmt::format("brood::command::parse: the {} at {} of the line has no end: {}", what, where, line_));
  }

  void read_word() {
    const std::size_t begin = at_;
    word_.clear();
    quoted_ = false;
    if (is_at('~')) refuse("\"~\"");
    while (at_ < line_.size() && !is_at(' ') && !is_at('\t') && !is_at('\n')) read_character();
    if (words_.empty() && (!quoted_ || is_assignment(line_.substr(begin, at_ - begin)))) {
      const std::size_t end = std::exchange(at_, begin);
      if (is_reserved(word_)) refuse(fmt::format("the reserved word \"{}\"", word_));
      if (is_assignment(line_.substr(begin, end - begin))) refuse("a variable (a setter: .env())");
      at_ = end;
    }
    words_.push_back(word_);
  }

  void read_character() {
    const char c = line_[at_];
    switch (c) {
      case '\\':
        return read_escaped();
      case '\'':
        return read_single_quoted();
      case '"':
        return read_double_quoted();
      case '[':  // a pattern only with its end
        if (line_.substr(at_, line_.find_first_of(" \t\n", at_) - at_).find(']') != std::string_view::npos)
          refuse("\"[\"");
        break;
      case '$':
        refuse_expansion(true);
        break;
      default:
        if (std::string_view("|&;<>()`*?").find(c) != std::string_view::npos)
          refuse(fmt::format("\"{}\"", c));
    }
    word_ += c;
    ++at_;
  }

  void read_escaped() {
    if (at_ + 1 == line_.size()) refuse_open("backslash", at_);
    if (line_[at_ + 1] != '\n') {
      word_ += line_[at_ + 1];
      quoted_ = true;
    }
    at_ += 2;
  }

  void read_single_quoted() {
    const std::size_t end = line_.find('\'', at_ + 1);
    if (end == std::string_view::npos) refuse_open("quote", at_);
    word_ += line_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    quoted_ = true;
  }

  void read_double_quoted() {
    const std::size_t begin = at_++;
    quoted_ = true;
    for (; at_ < line_.size() && line_[at_] != '"'; ++at_) {
      if (is_at('`')) refuse("\"`\"");
      if (is_at('$')) refuse_expansion(false);
      if (is_at('\\') && at_ + 1 < line_.size() &&
          std::string_view("$`\"\\\n").find(line_[at_ + 1]) != std::string_view::npos) {
        if (line_[++at_] == '\n') continue;
      }
      word_ += line_[at_];
    }
    if (at_ == line_.size()) refuse_open("quote", begin);
    ++at_;
  }

  /// A dollar is one where nothing follows that a shell would replace.
  void refuse_expansion(bool unquoted) const {
    const char next = at_ + 1 < line_.size() ? line_[at_ + 1] : ' ';
    if (is_name_character(next) || std::string_view("{(@*#?-$!").find(next) != std::string_view::npos)
      refuse("\"$\"");
    if (unquoted && (next == '\'' || next == '"')) refuse("\"$\"");
  }

  std::string_view line_;
  std::size_t at_ = 0;
  std::vector<std::string> words_;
  std::string word_;
  bool quoted_ = false;
};

std::string quoted(std::string_view word, bool first) {
  const auto is_plain = [](char c) {
    return is_name_character(c) || std::string_view("@%+=:,./-").find(c) != std::string_view::npos;
  };
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), is_plain);
  if (plain && !(first && (is_reserved(word) || word.find('=') != std::string_view::npos)))
    return std::string(word);
  std::string result = "'";
  for (const char c : word) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + "'";
}

}  // namespace

command command::parse(std::string_view line) {
  command result;
  result.call_.words = line_parser(line).words();
  return result;
}

std::string shell_quote(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (&word != &words.front()) line += ' ';
    line += quoted(word, &word == &words.front());
  }
  return line;
}

std::filesystem::path which(const std::string& program) {
  const auto is_program = [](const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::is_regular_file(path, error) && sys::access(path.c_str(), X_OK) == 0;
  };
  if (program.find('/') != std::string::npos)
    return is_program(program) ? std::filesystem::path(program) : std::filesystem::path();
  if (program.empty()) return {};
  const char* variable = std::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : "/bin:/usr/bin";
  for (;;) {
    const std::size_t colon = path.find(':');
    const std::filesystem::path candidate = std::filesystem::path(path.substr(0, colon)) / program;
    if (is_program(candidate)) return candidate;
    if (colon == std::string_view::npos) return {};
    path.remove_prefix(colon + 1);
  }
}

}  // namespace brood
