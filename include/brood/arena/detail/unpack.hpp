// The fields of a plain aggregate by structured bindings, which have to be spelled out once for each number
// of fields.
#pragma once

#include <cstddef>

namespace brood::detail {

inline constexpr std::size_t most_fields = 32;

/// Calls `use.template operator()<F...>(fields...)` with the fields of `object` and their declared types (a
/// reference stays one). `count` is their number, from 1 to `most_fields`.
template <std::size_t count, class T, class Use>
constexpr decltype(auto) unpack(T& object, Use&& use) {
  static_assert(count >= 1 && count <= most_fields);
  if constexpr (count == 1) {
    auto& [a] = object;
    return use.template operator()<decltype(a)>(a);
  } else if constexpr (count == 2) {
    auto& [a, b] = object;
    return use.template operator()<decltype(a), decltype(b)>(a, b);
  } else if constexpr (count == 3) {
    auto& [a, b, c] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c)>(a, b, c);
  } else if constexpr (count == 4) {
    auto& [a, b, c, d] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d)>(a, b, c, d);
  } else if constexpr (count == 5) {
    auto& [a, b, c, d, e] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e)>(a, b, c,
                                                                                                    d, e);
  } else if constexpr (count == 6) {
    auto& [a, b, c, d, e, f] = object;
    return use
        .template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f)>(
            a, b, c, d, e, f);
  } else if constexpr (count == 7) {
    auto& [a, b, c, d, e, f, g] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e),
                                   decltype(f), decltype(g)>(a, b, c, d, e, f, g);
  } else if constexpr (count == 8) {
    auto& [a, b, c, d, e, f, g, h] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e),
                                   decltype(f), decltype(g), decltype(h)>(a, b, c, d, e, f, g, h);
  } else if constexpr (count == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e),
                                   decltype(f), decltype(g), decltype(h), decltype(i)>(a, b, c, d, e, f, g, h,
                                                                                       i);
  } else if constexpr (count == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e),
                                   decltype(f), decltype(g), decltype(h), decltype(i), decltype(j)>(
        a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (count == 11) {
    auto& [a, b, c, d, e, f, g, h, i, j, k] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k)>(a, b, c, d, e, f, g, h, i, j, k);
  } else if constexpr (count == 12) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l] = object;
    return use
        .template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f),
                             decltype(g), decltype(h), decltype(i), decltype(j), decltype(k), decltype(l)>(
            a, b, c, d, e, f, g, h, i, j, k, l);
  } else if constexpr (count == 13) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m);
  } else if constexpr (count == 14) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n);
  } else if constexpr (count == 15) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = object;
    return use.template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e),
                                   decltype(f), decltype(g), decltype(h), decltype(i), decltype(j),
                                   decltype(k), decltype(l), decltype(m), decltype(n), decltype(o)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o);
  } else if constexpr (count == 16) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
  } else if constexpr (count == 17) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q);
  } else if constexpr (count == 18) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = object;
    return use
        .template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f),
                             decltype(g), decltype(h), decltype(i), decltype(j), decltype(k), decltype(l),
                             decltype(m), decltype(n), decltype(o), decltype(p), decltype(q), decltype(r)>(
            a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r);
  } else if constexpr (count == 19) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s)>(a, b, c, d, e, f, g, h, i, j,
                                                                                k, l, m, n, o, p, q, r, s);
  } else if constexpr (count == 20) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t);
  } else if constexpr (count == 21) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u);
  } else if constexpr (count == 22) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v);
  } else if constexpr (count == 23) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w);
  } else if constexpr (count == 24) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x] = object;
    return use
        .template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f),
                             decltype(g), decltype(h), decltype(i), decltype(j), decltype(k), decltype(l),
                             decltype(m), decltype(n), decltype(o), decltype(p), decltype(q), decltype(r),
                             decltype(s), decltype(t), decltype(u), decltype(v), decltype(w), decltype(x)>(
            a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x);
  } else if constexpr (count == 25) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n,
                                                                   o, p, q, r, s, t, u, v, w, x, y);
  } else if constexpr (count == 26) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y), decltype(z)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z);
  } else if constexpr (count == 27) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y), decltype(z), decltype(aa)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa);
  } else if constexpr (count == 28) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y), decltype(z), decltype(aa), decltype(ab)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab);
  } else if constexpr (count == 29) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac] = object;
    return use
        .template operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f),
                             decltype(g), decltype(h), decltype(i), decltype(j), decltype(k), decltype(l),
                             decltype(m), decltype(n), decltype(o), decltype(p), decltype(q), decltype(r),
                             decltype(s), decltype(t), decltype(u), decltype(v), decltype(w), decltype(x),
                             decltype(y), decltype(z), decltype(aa), decltype(ab), decltype(ac)>(
            a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac);
  } else if constexpr (count == 30) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad] =
        object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y), decltype(z), decltype(aa), decltype(ab),
               decltype(ac), decltype(ad)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v,
                                           w, x, y, z, aa, ab, ac, ad);
  } else if constexpr (count == 31) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad, ae] =
        object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y), decltype(z), decltype(aa), decltype(ab),
               decltype(ac), decltype(ad), decltype(ae)>(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r,
                                                         s, t, u, v, w, x, y, z, aa, ab, ac, ad, ae);
  } else if constexpr (count == 32) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad, ae,
           af] = object;
    return use.template
    operator()<decltype(a), decltype(b), decltype(c), decltype(d), decltype(e), decltype(f), decltype(g),
               decltype(h), decltype(i), decltype(j), decltype(k), decltype(l), decltype(m), decltype(n),
               decltype(o), decltype(p), decltype(q), decltype(r), decltype(s), decltype(t), decltype(u),
               decltype(v), decltype(w), decltype(x), decltype(y), decltype(z), decltype(aa), decltype(ab),
               decltype(ac), decltype(ad), decltype(ae), decltype(af)>(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad, ae, af);
  }
}

}  // namespace brood::detail
