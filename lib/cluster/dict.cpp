#include "brood/cluster/detail/membership.hpp"
#include "cluster/session.hpp"

namespace brood::cluster::detail {
namespace {

std::string take_text(answer& from) { return std::move(from).take_string(); }

}  // namespace

task<dict_core::text> dict_core::get(pointer self, std::string key) {
  answer found = co_await self->of_->it->ask("dict_get", words_of(self->name_, key));
  if (found.is_nothing()) co_return std::nullopt;
  co_return text(take_text(found));
}

task<> dict_core::set(pointer self, std::string key, std::string value) {
  co_await self->of_->it->once("dict_set", words_of(self->name_, key, value));
}

task<std::string> dict_core::get_or_set(pointer self, std::string key, std::string value) {
  answer found = co_await self->of_->it->once("dict_get_or_set", words_of(self->name_, key, value));
  co_return take_text(found);
}

task<bool> dict_core::erase(pointer self, std::string key) {
  const answer erased = co_await self->of_->it->once("dict_erase", words_of(self->name_, key));
  co_return erased.number() != 0;
}

task<dict_core::text> dict_core::pop(pointer self, std::string key) {
  answer found = co_await self->of_->it->once("dict_pop", words_of(self->name_, key));
  if (found.is_nothing()) co_return std::nullopt;
  co_return text(take_text(found.at(0)));
}

task<std::string> dict_core::add(pointer self, std::string key, std::string number) {
  answer sum = co_await self->of_->it->once("dict_add", words_of(self->name_, key, number));
  co_return take_text(sum);
}

task<bool> dict_core::exchange(pointer self, std::string key, text expected, text desired) {
  const answer done = co_await self->of_->it->once(
      "dict_exchange", words_of(self->name_, key, expected ? "1" : "0", expected.value_or(""),
                                desired ? "1" : "0", desired.value_or("")));
  co_return done.number() != 0;
}

task<std::uint64_t> dict_core::size(pointer self) {
  const answer size = co_await self->of_->it->ask("dict_size", words_of(self->name_));
  co_return static_cast<std::uint64_t>(size.number());
}

task<> dict_core::clear(pointer self) { co_await self->of_->it->once("dict_clear", words_of(self->name_)); }

task<dict_core::part> dict_core::walk(pointer self, std::string cursor) {
  answer some = co_await self->of_->it->ask("dict_walk", words_of(self->name_, cursor));
  part result;
  result.cursor = take_text(some.at(0));
  auto& flat = some.at(1).list();
  for (std::size_t i = 0; i + 1 < flat.size(); i += 2) {
    result.pairs.emplace_back(take_text(flat[i]), take_text(flat[i + 1]));
  }
  co_return result;
}

}  // namespace brood::cluster::detail
