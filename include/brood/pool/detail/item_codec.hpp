// Argument lists of many calls behind each other, and what a job does with each result; see task_run.hpp for
// the forms.
#pragma once

#include <concepts>
#include <cstring>
#include <exception>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "brood/pool/detail/job.hpp"
#include "brood/pool/detail/pool_function.hpp"
#include "brood/pool/outcome.hpp"

namespace brood::detail {

/// Calls `use` with `element`, or the members of it, converted to what `F` takes.
template <auto F, bool Star>
struct item_parameters {
  using arguments = typename child_function<F>::arguments;

  template <class Element, class Use>
  static decltype(auto) with(Element&& element, Use&& use) {
    if constexpr (Star) {
      return std::apply(
          [&](auto&&... parts) -> decltype(auto) {
            return convert(std::index_sequence_for<decltype(parts)...>(), use,
                           std::forward<decltype(parts)>(parts)...);
          },
          std::forward<Element>(element));
    } else {
      return convert(std::index_sequence<0>(), use, std::forward<Element>(element));
    }
  }

 private:
  template <std::size_t... I, class Use, class... Given>
  static decltype(auto) convert(std::index_sequence<I...>, Use& use, Given&&... given) {
    static_assert(
        sizeof...(Given) == std::tuple_size_v<arguments>,
        "brood::pool: the number of arguments is not the function's (`starmap` takes tuples of them)");
    return use(as_parameter<std::tuple_element_t<I, arguments>>(std::forward<Given>(given))...);
  }
  template <class Parameter, class Given>
  static decltype(auto) as_parameter(Given&& given) {
    static_assert(std::is_convertible_v<Given&&, Parameter>,
                  "brood::pool: an item does not convert to the function's parameter");
    if constexpr (std::is_same_v<std::remove_cvref_t<Given>, Parameter>) {
      return static_cast<const Parameter&>(given);
    } else {
      return static_cast<Parameter>(std::forward<Given>(given));
    }
  }
};

/// Items that are copied as they lie in memory.
template <auto F, bool Star, class Iterator>
inline constexpr bool copied_as_they_are = [] {
  using arguments = typename child_function<F>::arguments;
  if constexpr (!Star && std::tuple_size_v<arguments> == 1 && std::contiguous_iterator<Iterator>) {
    using parameter = std::tuple_element_t<0, arguments>;
    return std::is_same_v<std::remove_cv_t<std::iter_value_t<Iterator>>, parameter> && is_flat<parameter>;
  } else {
    return false;
  }
}();

/// Appends one argument list, behind its size if that is not always the same.
template <class Arguments, class... A>
void append_item(bytes& out, const A&... parameters) {
  if constexpr (item_format<Arguments>::fixed) {
    encode_to(out, parameters...);
  } else {
    const std::size_t at = out.size();
    out.resize(at + sizeof(item_size));
    encode_to(out, parameters...);
    const item_size size = out.size() - at - sizeof(item_size);
    std::memcpy(out.data() + at, &size, sizeof size);
  }
}

/// Writes up to `most` items from `at` into the draft, as items from `first` of the job; gives how many.
/// Stops at what the range throws, or the encoding of an item, and leaves it in `failure`.
template <auto F, bool Star, class Iterator, class Sentinel>
std::uint64_t write_items(task_draft& draft, std::uint64_t first, std::uint64_t most, Iterator& at,
                          const Sentinel& end, bytes& scratch, std::exception_ptr& failure) {
  using parameters = item_parameters<F, Star>;
  using arguments = typename parameters::arguments;
  most = std::min(most, draft.most());
  std::uint64_t count = 0;
  if constexpr (copied_as_they_are<F, Star, Iterator>) {
    count = std::min<std::uint64_t>(most, static_cast<std::uint64_t>(end - at));
    const std::size_t size = count * sizeof(std::iter_value_t<Iterator>);
    if (size != 0) std::memcpy(draft.room(size).data(), std::to_address(at), size);
    at += static_cast<std::ptrdiff_t>(count);
  } else {
    const travelling_objects travelling;
    std::size_t whole = 0;
    scratch.clear();
    try {
      for (; count < most && at != end; ++at) {
        parameters::with(*at, [&](const auto&... each) { append_item<arguments>(scratch, each...); });
        whole = scratch.size();
        ++count;
      }
    } catch (...) {
      failure = std::current_exception();
      scratch.resize(whole);
    }
    const auto room = draft.room(scratch.size());
    if (!scratch.empty()) std::memcpy(room.data(), scratch.data(), scratch.size());
    draft.keep(travelling);
  }
  draft.items(first, count);
  return count;
}

/// Hands each result to `take(item, outcome<R>&&)`; gives how many there were.
template <class R, class Take>
std::uint64_t read_results(std::uint64_t item, result_reader& results, const Take& take) {
  constexpr std::size_t width = [] {
    if constexpr (std::is_void_v<R>) {
      return std::size_t{0};
    } else {
      return sizeof(R);
    }
  }();
  const std::uint64_t first = item;
  while (const auto record = results.next(width)) {
    switch (record->kind) {
      case record_kind::values:
        for (std::uint64_t i = 0; i < record->count; ++i) {
          if constexpr (std::is_void_v<R>) {
            take(item++, outcome<void>(std::in_place));
          } else if constexpr (is_flat<R>) {
            take(item++, outcome<R>(std::in_place, decode<R>(record->bytes.subspan(i * width, width))));
          }
        }
        break;
      case record_kind::value:
        if constexpr (!std::is_void_v<R>) take(item++, outcome<R>(std::in_place, decode<R>(record->bytes)));
        break;
      case record_kind::failure:
        take(item++, outcome<R>(results.failure(*record)));
        break;
      default:
        throw decode_error("a record of results that is none");
    }
  }
  return item - first;
}

}  // namespace brood::detail
