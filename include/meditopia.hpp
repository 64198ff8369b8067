/* meditopia.hpp - meditopia.h for C++17: owning classes, exceptions or results, ranges, std::chrono.
 *
 * Header only and thin: every function calls the function of meditopia.h with the same purpose.
 * meditopia.h documents the model, the promises and each option. Only the conversion of arguments and
 * errors is compiled into your program.
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
 * A function that can fail throws an exception, one class for each MEDITOPIA_ERROR_..., all derived
 * from meditopia::error. Each such function has a variant `try_...` that is noexcept and returns a
 * meditopia::result. With -fno-exceptions only the variants exist. If memory is exhausted, a variant
 * ends the program, as the library itself does.
 *
 * OWNERSHIP
 *
 * config, client and event_list own a handle of meditopia.h. They can be moved but not copied. A client
 * that is destroyed waits for nothing and loses nothing; close it to wait for delivery. Calls of a
 * client that was moved from fail with MEDITOPIA_ERROR_INVALID_ARGUMENT.
 *
 * THREADS, FORK
 *
 * As in meditopia.h: any number of threads may use one client (but not set its log function, move it or
 * destroy it at the same time as another call), and one thread at a time a config or an event_list. A
 * child may go on using objects that were opened before fork.
 *
 * VERSIONS
 *
 * config and client check that the loaded library fits this header (meditopia_abi_version). If it does
 * not, they fail with abi_mismatch, and the message says which library was found. glibc before 2.34
 * needs -ldl for that check.
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
