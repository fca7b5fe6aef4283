#include "shared/command_line.hpp"
#include "surroundings.hpp"

#include <iostream>
#include <limits>
#include <optional>
#include <sstream>

namespace pulsemeter {
namespace {

struct Values {
    std::string place;
    std::optional<std::string> note;
    std::filesystem::path out;
    std::optional<std::filesystem::path> file;
    std::uint32_t rate = 1000;
    std::optional<std::uint32_t> epoch;
    std::uint64_t most = 50;
    std::optional<std::uint64_t> sequence;
    std::string wire = "sealed";
    bool json = false;
    bool csv = false;
};

// A program with a subcommand of each kind of option, and a group of two.
struct Sample {
    Sample()
    {
        Command note = program.add_command("note", "Takes what there is to take");
        note.add_option("PLACE", values.place, "Where").required();
        note.add_option("--out", values.out, "The file to make").takes("FILE").required();
        note.add_option("--note", values.note, "Any words").takes("TEXT");
        Option file = note.add_option("--file", values.file, "A file").takes("FILE");
        note.add_option("--rate", values.rate, "So many").takes("N").within(1, 100'000);
        note.add_option("--epoch", values.epoch, "Only beside --file").takes("E").needs(file);
        note.add_option("--most", values.most, "At most").takes("N");
        note.add_option("--sequence", values.sequence, "A number").takes("S");
        note.add_option("--wire", values.wire, "Which").takes("WIRE").one_of({"sealed", "classic"});
        Option json = note.add_flag("--json", values.json, "For scripts");
        note.add_flag("--csv", values.csv, "For spreadsheets").excludes(json);
        note.does([this] { return did("note"); });

        Command meter = program.add_group("meter", "Two of them");
        Command add = meter.add_command("add", "The first");
        add.does([this] { return did("meter add"); });
        Command list = meter.add_command("list", "The second");
        list.does([this] { return did("meter list", ExitCode::failed); });
    }

    ExitCode did(const std::string& what, ExitCode code = ExitCode::done)
    {
        done += what;
        return code;
    }

    ExitCode run(std::vector<const char*> words)
    {
        words.insert(words.begin(), "sample");
        return program.run(static_cast<int>(words.size()), words.data());
    }

    ExitCode note(std::vector<const char*> words)
    {
        words.insert(words.begin(), {"note", "hall", "--out", "x.toml"});
        return run(std::move(words));
    }

    std::string refusal(const std::vector<const char*>& words)
    {
        return message_of<UsageError>([&] { (void)run(words); });
    }

    std::string refused_note(const std::vector<const char*>& words)
    {
        return message_of<UsageError>([&] { (void)note(words); });
    }

    // What --help and --version print.
    std::string shown(const std::vector<const char*>& words)
    {
        std::ostringstream text;
        std::streambuf* const before = std::cout.rdbuf(text.rdbuf());
        BOOST_CHECK(run(words) == ExitCode::done);
        std::cout.rdbuf(before);
        return text.str();
    }

    Program program{"sample", "Shows what a command line takes.", "sample 1.2.3"};
    Values values;
    std::string done;
};

BOOST_FIXTURE_TEST_SUITE(command_line, Sample)

BOOST_AUTO_TEST_CASE(what_is_not_given_stays_as_it_is)
{
    BOOST_CHECK(note({}) == ExitCode::done);
    BOOST_TEST(done == "note");
    BOOST_TEST(values.place == "hall");
    BOOST_CHECK(values.out == "x.toml");
    BOOST_CHECK(!values.note && !values.file && !values.epoch && !values.sequence);
    BOOST_TEST(values.rate == 1000U);
    BOOST_TEST(values.most == 50U);
    BOOST_TEST(values.wire == "sealed");
    BOOST_TEST((!values.json && !values.csv));
}

BOOST_AUTO_TEST_CASE(each_kind_of_value_is_taken)
{
    BOOST_CHECK(note({"--note", "two words", "--file=a b", "--rate", "100000", "--epoch", "4294967295",
                      "--most", "0", "--sequence", "18446744073709551615", "--wire", "classic", "--csv"}) ==
                ExitCode::done);
    BOOST_TEST(values.note.value() == "two words");
    BOOST_CHECK(values.file.value() == "a b");
    BOOST_TEST(values.rate == 100'000U);
    BOOST_TEST(values.epoch.value() == std::numeric_limits<std::uint32_t>::max());
    BOOST_TEST(values.most == 0U);
    BOOST_TEST(values.sequence.value() == std::numeric_limits<std::uint64_t>::max());
    BOOST_TEST(values.wire == "classic");
    BOOST_TEST((values.csv && !values.json));
}

BOOST_AUTO_TEST_CASE(only_the_chosen_one_of_a_group_is_done_and_its_exit_code_is_the_programs)
{
    BOOST_CHECK(run({"meter", "list"}) == ExitCode::failed);
    BOOST_TEST(done == "meter list");
}

BOOST_AUTO_TEST_CASE(a_subcommand_is_wanted_and_a_known_one)
{
    BOOST_TEST(refusal({}) == "A subcommand is required (see sample --help)");
    BOOST_TEST(refusal({"meter"}) == "A subcommand is required (see sample --help)");
    BOOST_TEST(refusal({"fly"}) == "unknown: fly (see sample --help)");
    BOOST_TEST(refusal({"meter", "fly"}) == "unknown: fly (see sample --help)");
    BOOST_TEST(refusal({"meter", "add", "a\nb"}) == "unknown: a b (see sample --help)");
    BOOST_TEST(refused_note({"--fly"}) == "unknown: --fly (see sample --help)");
    BOOST_TEST(done.empty());
}

BOOST_AUTO_TEST_CASE(what_is_required_is_named)
{
    BOOST_TEST(refusal({"note", "--out", "x"}) == "PLACE is required (see sample --help)");
    BOOST_TEST(refusal({"note", "hall"}) == "--out is required (see sample --help)");
    BOOST_TEST(done.empty());
}

BOOST_AUTO_TEST_CASE(a_value_that_is_not_allowed_is_quoted_with_what_is)
{
    for (const std::string wrong : {"0", "100001"}) {
        BOOST_TEST(refused_note({"--rate", wrong.c_str()}) ==
                   "--rate: Value " + wrong + " not in range 1 to 100000 (see sample --help)");
    }
    for (const std::string wrong :
         {"010", "0x10", "00", "-01", "0800", " 010", "\t0x10", "-1", "+1", "many", "1.5", "1e3", ""}) {
        for (const auto* option : {"--rate", "--most", "--sequence"}) {
            BOOST_TEST(
                refused_note({option, wrong.c_str()}) ==
                option + (": Value " + wrong) +
                    ": a whole number in decimal digits is wanted, without a 0 in front (see sample --help)");
        }
    }
    BOOST_TEST(refused_note({"--wire", "copper"}) ==
               "--wire: copper not in {sealed,classic} (see sample --help)");
    BOOST_TEST(refused_note({"--file", "f", "--epoch", "4294967296"}) ==
               "Could not convert: --epoch = 4294967296 (see sample --help)");
    BOOST_TEST(done.empty());
}

BOOST_AUTO_TEST_CASE(an_option_without_its_value_says_what_it_wants)
{
    BOOST_TEST(refused_note({"--rate"}) == "--rate wants a value: N (see sample --help)");
    BOOST_TEST(refused_note({"--wire"}) == "--wire wants a value: WIRE (see sample --help)");
    BOOST_TEST(refused_note({"--note", "words", "--file"}) ==
               "--file wants a value: FILE (see sample --help)");
    BOOST_TEST(refusal({"note", "--out"}) == "--out wants a value: FILE (see sample --help)");
    BOOST_TEST(refusal({"note", "--out="}) == "--out wants a value: FILE (see sample --help)");
    BOOST_TEST(refused_note({"--fly", "--rate"}) == "unknown: --fly (see sample --help)");
    BOOST_TEST(refusal({"note", "hall", "--out", "--json"}) ==
               "--out: wants a value: FILE, not --json (see sample --help)");
    BOOST_TEST(refusal({"note", "hall", "--out", "--rate", "5"}) ==
               "--out: wants a value: FILE, not --rate (see sample --help)");
    BOOST_TEST(refused_note({"--file", "-h"}) == "--file: wants a value: FILE, not -h (see sample --help)");
    BOOST_TEST(refused_note({"--file", "--rate"}) ==
               "--file: wants a value: FILE, not --rate (see sample --help)");
    BOOST_TEST(done.empty());
}

BOOST_AUTO_TEST_CASE(options_that_need_or_exclude_each_other_name_each_other)
{
    BOOST_TEST(refused_note({"--epoch", "1"}) == "--epoch requires --file (see sample --help)");
    BOOST_CHECK(note({"--epoch", "1", "--file", "f"}) == ExitCode::done);
    BOOST_TEST(contains(refused_note({"--csv", "--json"}), "excludes"));
    BOOST_TEST(done == "note");
}

BOOST_AUTO_TEST_CASE(help_and_version_are_shown_and_nothing_is_done)
{
    BOOST_TEST(shown({"--version"}) == "sample 1.2.3\n");
    const std::string all = shown({"--help"});
    for (const auto* part : {"Shows what a command line takes.", "sample", "--version", "note", "meter"})
        BOOST_TEST(contains(all, part), part);
    const std::string help = shown({"note", "--help"});
    for (const auto* part : {"PLACE", "--out FILE", "--rate N", "--wire WIRE", "For scripts"})
        BOOST_TEST(contains(help, part), part);
    BOOST_TEST(done.empty());
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
