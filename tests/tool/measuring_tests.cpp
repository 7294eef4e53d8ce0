// The verbs that explain and measure: plan, profile, tune.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/tool/workshop.h"

using namespace cardinal::testing;

TEST_CASE("plan explains itself, and its choices can be given back") {
  Workshop shop;
  Outcome plan = shop.cardinal("plan tiny.nn --target x86-64 --threads 2");
  REQUIRE(plan.code == 0);
  CHECK(plan.err == "");
  CHECK(has(plan.out, "plan tiny for x86-64-v3: "));
  CHECK(has(plan.out, "plan tiny for x86-64-v4: "));
  CHECK(has(plan.out, "        floor "));
  CHECK(has(plan.out, "        2 threads: "));
  CHECK(has(plan.out, "        * direct "));
  // What is emitted beside the code is the same text.
  Outcome emitted = shop.cardinal("compile tiny.nn --target x86-64-v3 --emit plan -o -");
  REQUIRE(emitted.code == 0);
  CHECK(emitted.out == shop.cardinal("plan tiny.nn --target x86-64-v3").out);

  Outcome choices = shop.cardinal("plan tiny.nn --target x86-64-v3 --choices");
  REQUIRE(choices.code == 0);
  CHECK(has(choices.out, "# tiny for x86-64-v3\nconv1 algorithm=direct pixels="));
  shop.write("choices.txt", choices.out + "# end\n");
  CHECK(shop.cardinal("plan tiny.nn --target x86-64-v3 --choices --plan choices.txt").out == choices.out);

  check_refused(shop, "plan none.nn", "none.nn", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --target pdp11", "unknown target 'pdp11'", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --set channels=0", "channels", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --threads 0", "--threads", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --plan lost.txt", "lost.txt", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --profile lost.json", "lost.json", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --tuning lost.tuning", "lost.tuning", {"choices.txt"});
}

TEST_CASE("profile times each step, and a plan shows the times") {
  Workshop shop;
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:1").code == 0);
  Outcome table = shop.cardinal("profile tiny.so --seconds 0.05 -o tiny.json");
  INFO(table.err);
  REQUIRE(table.code == 0);
  for (const char* word : {"median us", "predicted", "floor", "bound by", "conv1", "fc", "all steps"})
    CHECK(has(table.out, word));
  nlohmann::json json = nlohmann::json::parse(shop.read("tiny.json"));
  CHECK(json["network"] == "tiny");
  CHECK(json["threads"] == 1);
  CHECK(json["passes"] >= 5);
  nlohmann::json info = nlohmann::json::parse(shop.cardinal("info tiny.so --json").out);
  REQUIRE(json["steps"].size() == info["steps"].size());
  double sum = 0;
  for (size_t i = 0; i < json["steps"].size(); ++i) {
    const nlohmann::json& step = json["steps"][i];
    CHECK(step["name"] == info["steps"][i]["name"]);
    CHECK(step["kernel"] == info["steps"][i]["kernel"]);
    CHECK(step["median_us"] >= step["min_us"]);
    CHECK(step["min_us"] > 0.0);
    CHECK(step["predicted_us"] > 0.0);
    CHECK(step["floor_us"] > 0.0);
    sum += step["median_us"].get<double>();
  }
  CHECK(json["median_us"].get<double>() == Approx(sum));

  Outcome plan = shop.cardinal("plan tiny.nn --profile tiny.json");
  INFO(plan.err);
  REQUIRE(plan.code == 0);
  CHECK(has(plan.out, "% of the floor's rate"));
  const std::string steps = std::to_string(json["steps"].size());
  CHECK(has(plan.out, " us in " + steps + " of " + steps + " steps"));
  // Steps that a plan has no longer are not mistaken for others.
  shop.write("one.txt", "conv1 pixels=1\n");
  Outcome other = shop.cardinal("plan tiny.nn --profile tiny.json --plan one.txt");
  REQUIRE(other.code == 0);
  CHECK(has(other.out, " us in " + std::to_string(json["steps"].size() - 1) + " of " + steps + " steps"));

  for (const char* sort : {"order", "time", "lost"})
    CHECK(shop.cardinal(std::string("profile tiny.so --seconds 0.01 --sort ") + sort).code == 0);
  Outcome bare = shop.cardinal("profile tiny.so --seconds 0.01 --threads 2 -o -");
  REQUIRE(bare.code == 0);
  CHECK(nlohmann::json::parse(bare.out)["threads"] == 2);
}

TEST_CASE("profiles that say nothing about a plan are refused") {
  Workshop shop;
  const std::string rates =
      "\"threads\": 1, \"passes\": 5, \"peak_gflops\": 100, \"memory_gb_s\": 10, "
      "\"cache_gb_s\": 50, \"steps\": []}";
  const auto refused = [&](const std::string& text, const std::string& message) {
    shop.write("p.json", text);
    check_refused(shop, "plan tiny.nn --target x86-64-v3 --profile p.json", message, {"p.json"});
  };
  const std::string head = "{\"cardinal_profile\": 1, ";
  refused("", "p.json is not a profile: ");
  refused("[1, 2]",
          "p.json is not a profile: it has no 'cardinal_profile'; write one with `cardinal profile");
  refused("{\"cardinal_profile\": 9}", "it is of version 9, this is version 1");
  refused(head + "\"network\": 7}", "p.json is not a profile: ");
  refused(head + "\"network\": \"tiny\", \"target\": \"x86-64-v3\"}", "key 'threads' not found");
  refused(head + "\"network\": \"other\", \"target\": \"x86-64-v3\", " + rates,
          "p.json is a profile of network other, not tiny");
  refused(head + "\"network\": \"tiny\", \"target\": \"haswell\", " + rates,
          "p.json was measured on code for haswell, the plan is for x86-64-v3");
  std::string zero = rates, two = rates;
  zero.replace(zero.find("100"), 3, "0");
  two.replace(two.find("1,"), 2, "2,");
  refused(head + "\"network\": \"tiny\", \"target\": \"x86-64-v3\", " + zero, "peak_gflops is 0");
  refused(head + "\"network\": \"tiny\", \"target\": \"x86-64-v3\", " + two,
          "p.json was measured on 2 threads; a plan's times are those of one");
  check_refused(shop, "profile lost.so", "lost.so", {"p.json"});
  check_refused(shop, "profile tiny.nn", "tiny.nn", {"p.json"});
  check_refused(shop, "profile tiny.so --sort size", "--sort", {"p.json"});
}

TEST_CASE("tune measures, goes on where it stopped, and compile takes what was fastest") {
  Workshop shop;
  Outcome first = shop.cardinal("tune tiny.nn --candidates 2 --seconds 0.001");
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK(has(first.out, "tiny.tuning: measured "));
  const std::string some = shop.read("tiny.tuning");
  CHECK(some.starts_with("# cardinal tuning 1\nconv "));
  Outcome second = shop.cardinal("tune tiny.nn --candidates 2");
  REQUIRE(second.code == 0);
  CHECK(has(second.out, ", 0 left\n"));
  CHECK(has(second.out, "convolutions: "));
  const std::string all = shop.read("tiny.tuning");
  CHECK(all.size() > some.size());
  // What was measured stays as it is.
  for (size_t at = 0; at < some.size();) {
    const size_t end = some.find('\n', at) + 1;
    CHECK(has(all, some.substr(at, end - at)));
    at = end;
  }
  CHECK(
      has(shop.cardinal("tune tiny.nn --candidates 2").out, "measured 0 kernels of 2 convolutions of tiny"));
  CHECK(shop.read("tiny.tuning") == all);

  Outcome plan = shop.cardinal("plan tiny.nn --tuning tiny.tuning");
  INFO(plan.err);
  REQUIRE(plan.code == 0);
  CHECK(has(plan.out, " us, measured "));
  CHECK(shop.cardinal("compile tiny.nn --weights random:1 --tuning tiny.tuning").code == 0);
  // Tuned or not, the same bits.
  CHECK(shop.cardinal("compile tiny.nn --weights random:1 -o plain.so --emit so").code == 0);
  shop.write_npy("x.npy", {1, 3, 6, 6}, 0.7f);
  CHECK(shop.cardinal("run tiny.so --input x.npy --output tuned.npy").code == 0);
  CHECK(shop.cardinal("run plain.so --input x.npy --output plain.npy").code == 0);
  CHECK(shop.read("tuned.npy") == shop.read("plain.npy"));
  CHECK(shop.cardinal("verify tiny.nn --weights random:1 --tuning tiny.tuning").code == 0);
  // Nothing was measured on this CPU.
  Outcome other = shop.cardinal("plan tiny.nn --tuning tiny.tuning --target haswell");
  REQUIRE(other.code == 0);
  CHECK(other.out == shop.cardinal("plan tiny.nn --target haswell").out);
  CHECK(shop.others({"tiny.tuning", "tiny.so", "tiny.h", "plain.so", "x.npy", "tuned.npy", "plain.npy"}) ==
        std::vector<std::string>{});
}

TEST_CASE("tune measures fast products, and compile takes the fastest") {
  Workshop shop;
  shop.write("fast.nn",
             "network fast {\n  input x: f32[1, 128, 15, 15]\n  return y = x |> a: conv(256, kernel=1)\n}\n");
  Outcome tuned = shop.cardinal("tune fast.nn --candidates 1");
  INFO(tuned.err);
  REQUIRE(tuned.code == 0);
  std::string measured = shop.read("fast.tuning");
  const size_t kernel = measured.find("strassen_1 6x1 unroll 2 | ");
  if (kernel == std::string::npos) {
    CHECK(has(measured, "strassen_"));  // on another CPU the tile is another
    return;
  }
  const size_t time = kernel + std::string("strassen_1 6x1 unroll 2 | ").size();
  measured.replace(time, measured.find(" us", time) - time, "0.001");
  shop.write("fast.tuning", measured);
  CHECK(has(shop.cardinal("plan fast.nn --tuning fast.tuning").out, "* strassen_1 6x1 unroll 2"));
  CHECK(shop.cardinal("compile fast.nn --weights random:1 --tuning fast.tuning").code == 0);
}

TEST_CASE("an interrupted tuning keeps what it measured") {
  Workshop shop;
  shop.write(
      "wide.nn",
      "network wide {\n  input x: f32[1, 16, 14, 14]\n  return y = x |> conv1: conv(64, kernel=3)\n}\n");
  // Once there is something to keep, but not all. The shell has background jobs ignore SIGINT, the tool does
  // not.
  Outcome stopped =
      shop.shell("'" CARDINAL_TOOL
                 "' tune wide.nn --candidates 64 --same-bits off &\n"
                 "until grep -q '^conv' wide.tuning 2>/dev/null; do kill -0 $! || exit 9; sleep 0.02; done\n"
                 "kill -INT $!; wait $!");
  INFO(stopped.err);
  CHECK(stopped.code == 130);
  CHECK(has(stopped.out, "wide.tuning: measured "));
  CHECK_FALSE(has(stopped.out, ", 0 left"));
  CHECK(has(shop.cardinal("plan wide.nn --tuning wide.tuning").out, ", measured "));
  CHECK(shop.others({"wide.nn", "wide.tuning"}) == std::vector<std::string>{});
}

TEST_CASE("tune and tuning files: mistakes") {
  Workshop shop;
  check_refused(shop, "tune none.nn", "none.nn");
  check_refused(shop, "tune tiny.nn --target x86-64",
                "--target x86-64 is several targets; tune one, such as x86-64-v3");
  check_refused(shop, "tune tiny.nn -o -", "tune adds to a file: give its name to -o");
  check_refused(shop, "tune tiny.nn -o lost/a.tuning", "there is no directory lost");
  check_refused(shop, "tune tiny.nn -o tiny.nn", "tiny.nn is both read and written");
  check_refused(shop, "tune tiny.nn --weights lost.npz", "lost.npz");
  check_refused(shop, "tune tiny.nn --candidates 0", "--candidates");
  shop.write("a.txt", "something else\n");
  check_refused(shop, "tune tiny.nn -o a.txt", "a.txt:1:1: error: not a tuning file of this version",
                {"a.txt"});
  CHECK(shop.read("a.txt") == "something else\n");
  check_refused(shop, "compile tiny.nn --weights random:1 --tuning a.txt",
                "a.txt:1:1: error: not a tuning file", {"a.txt"});
  shop.write("b.tuning",
             "# cardinal tuning 1\nconv ic=3 | haswell | direct 6x2 unroll 4 | 1 us | predicted 2 us\n");
  check_refused(shop, "plan tiny.nn --tuning b.tuning",
                "b.tuning:2:1: error: expected weights=l2, l3 or memory", {"a.txt", "b.tuning"});
  check_refused(shop, "compile tiny.nn --weights random:1 --tuning b.tuning -o b.tuning",
                "b.tuning is both read and written", {"a.txt", "b.tuning"});
}
