/* meditopia.hpp - meditopia.h for C++17: owners, exceptions or results, ranges, std::chrono.
 *
 * Header only and thin: every function is one of meditopia.h, where the model, the promises and each
 * option are said. Nothing is compiled into your program but the conversion of arguments and errors.
 *
 *   #include <meditopia.hpp>
 *   #include <iostream>
 *
 *   int main() try {
 *     meditopia::config config{{"spool", "/var/spool/myapp/meditopia"},
 *                              {"bearer_token_file", "/etc/myapp/meditopia.token"}};
 *     meditopia::client client{config};
 *     client.enqueue("user-token-1", "user-1", meditopia::event_type::video, "morning calm");
 *     std::cout << client.close(std::chrono::seconds{30}).delivered << " delivered\n";
 *   } catch (const meditopia::error& error) {
 *     std::cerr << error.what() << '\n';
 *     return 1;
 *   }
 *
 * TWO WAYS TO FAIL
 *
 * A function that can fail throws a class of its own for each MEDITOPIA_ERROR_..., all below
 * meditopia::error. Each has a twin `try_...` that is noexcept and returns a meditopia::result. With
 * -fno-exceptions only the twins are there. Where memory is exhausted, a twin ends the program, as the
 * library itself does.
 *
 * OWNERS
 *
 * config, client and event_list own what meditopia.h gives them, can be moved and not copied. A client
 * that is destroyed waits for nothing and loses nothing; close it to wait for delivery. One that was
 * moved from answers MEDITOPIA_ERROR_INVALID_ARGUMENT.
 *
 * THREADS, FORK
 *
 * As meditopia.h says: one client serves all threads (set_log, moving and destroying apart), a config
 * and an event_list one at a time; a child goes on with what was opened before fork.
 *
 * VERSIONS
 *
 * config and client look whether the loaded library fits this header (meditopia_abi_version), and fail
 * with abi_mismatch if not, saying which library was found. glibc before 2.34 needs -ldl for that.
 */

#ifndef MEDITOPIA_HPP
#define MEDITOPIA_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "meditopia.hpp needs C++17 or later (-std=c++17)"
#endif

#include <meditopia.h>

#include <meditopia/error.hpp>
#include <meditopia/values.hpp>
#include <meditopia/result.hpp>
#include <meditopia/config.hpp>
#include <meditopia/list.hpp>
#include <meditopia/client.hpp>

#endif
