#include "shared/config_file.hpp"
#include "surroundings.hpp"

namespace pulsemeter {
namespace {

ConfigFile parse(std::string_view text)
{
    return ConfigFile::parse(text, "m.toml");
}

// The message with which `use` of the parsed text, or finish() after it, is refused; empty if neither is.
std::string refusal(std::string_view text, const std::function<void(ConfigFile&)>& use)
{
    return message_of<UsageError>([&] {
        auto file = parse(text);
        use(file);
        file.finish();
    });
}

constexpr std::string_view good = "[meter]\nid = \"cellar\"\ninterval_s = 10\nretain = true\n";

BOOST_AUTO_TEST_SUITE(config_file)

BOOST_AUTO_TEST_CASE(values_come_out_as_they_stand)
{
    auto file = parse(good);
    auto meter = file.table("meter");
    BOOST_TEST(meter.string("id").value() == "cellar");
    BOOST_TEST(meter.required_string("id") == "cellar");
    BOOST_TEST(meter.integer("interval_s", 1, 86400).value() == 10);
    BOOST_TEST(meter.boolean("retain").value());
    file.finish();
}

BOOST_AUTO_TEST_CASE(what_is_absent_is_nothing)
{
    auto file = parse(good);
    auto meter = file.table("meter");
    BOOST_TEST(!meter.string("name"));
    BOOST_TEST(!meter.integer("count", 0, 1));
    BOOST_TEST(!meter.boolean("quiet"));
    BOOST_TEST(!file.table("gpio").string("line"));
}

BOOST_AUTO_TEST_CASE(a_missing_value_is_named_with_its_table)
{
    BOOST_TEST(refusal(good, [](auto& file) {
                   static_cast<void>(file.table("meter").required_string("key"));
               }) == "m.toml:1: meter.key: is missing; add key = \"...\" to the table [meter]");
    BOOST_TEST(refusal("", [](auto& file) {
                   static_cast<void>(file.table("meter").required_string("key"));
               }) == "m.toml: meter.key: is missing; add key = \"...\" to the table [meter]");
}

BOOST_AUTO_TEST_CASE(a_wrong_type_is_refused_with_file_line_and_key)
{
    const auto as_string = [](auto& file) { static_cast<void>(file.table("meter").string("x")); };
    const auto as_integer = [](auto& file) { static_cast<void>(file.table("meter").integer("x", 1, 9)); };
    const auto as_boolean = [](auto& file) { static_cast<void>(file.table("meter").boolean("x")); };
    const auto with = [](std::string_view value) { return "[meter]\n\nx = " + std::string(value) + "\n"; };

    BOOST_TEST(refusal(with("5"), as_string) ==
               "m.toml:3: meter.x: is a whole number; must be a text in quotes");
    BOOST_TEST(refusal(with("5.0"), as_integer) ==
               "m.toml:3: meter.x: is a number with a fraction; must be a whole number from 1 to 9");
    BOOST_TEST(refusal(with("'5'"), as_integer) ==
               "m.toml:3: meter.x: is a text; must be a whole number from 1 to 9");
    BOOST_TEST(refusal(with("1"), as_boolean) ==
               "m.toml:3: meter.x: is a whole number; must be true or false");
    BOOST_TEST(refusal(with("[5]"), as_integer) ==
               "m.toml:3: meter.x: is a list; must be a whole number from 1 to 9");
    BOOST_TEST(refusal(with("{y = 5}"), as_integer) ==
               "m.toml:3: meter.x: is a table; must be a whole number from 1 to 9");
    BOOST_TEST(refusal(with("2022-09-22"), as_string) ==
               "m.toml:3: meter.x: is a date or time; must be a text in quotes");
    BOOST_TEST(refusal("[meter.x]\ny = 1\n", as_string) ==
               "m.toml:1: meter.x: is a table; must be a text in quotes");
}

BOOST_AUTO_TEST_CASE(a_number_out_of_range_is_refused_with_the_range)
{
    const auto use = [](auto& file) { static_cast<void>(file.table("meter").integer("x", 1, 9)); };
    BOOST_TEST(refusal("[meter]\nx = 1", use).empty());
    BOOST_TEST(refusal("[meter]\nx = 9", use).empty());
    BOOST_TEST(refusal("[meter]\nx = 0", use) == "m.toml:2: meter.x: 0 is out of range; allowed: 1 to 9");
    BOOST_TEST(refusal("[meter]\nx = 10", use) == "m.toml:2: meter.x: 10 is out of range; allowed: 1 to 9");
    BOOST_TEST(!refusal("[meter]\nx = 99999999999999999999", use).empty());
}

BOOST_AUTO_TEST_CASE(a_table_that_is_none_is_refused)
{
    const auto use = [](auto& file) { static_cast<void>(file.table("meter")); };
    BOOST_TEST(refusal("meter = 5", use) == "m.toml:1: meter: is a whole number; must be a table: [meter]");
    BOOST_TEST(refusal("[[meter]]\nid = 'x'", use) == "m.toml:1: meter: is a list; must be a table: [meter]");
}

BOOST_AUTO_TEST_CASE(an_unknown_key_is_refused_with_those_that_are_known)
{
    const auto use = [](auto& file) {
        auto meter = file.table("meter");
        static_cast<void>(meter.string("id"));
        static_cast<void>(meter.integer("interval_s", 1, 9));
    };
    BOOST_TEST(refusal("[meter]\nid = 'x'\nintervall_s = 3\n", use) ==
               "m.toml:3: meter.intervall_s: unknown key; known: id, interval_s");
    BOOST_TEST(refusal("[meter]\nid = 'x'\n[meter.gpio]\nline = 3\n", use) ==
               "m.toml:3: meter.gpio: unknown key; known: id, interval_s");
}

BOOST_AUTO_TEST_CASE(an_unknown_table_is_refused_with_those_that_are_known)
{
    const auto use = [](auto& file) {
        static_cast<void>(file.table("meter"));
        static_cast<void>(file.table("broker"));
    };
    BOOST_TEST(refusal("[metre]\n", use) == "m.toml:1: metre: unknown table; known tables: broker, meter");
    BOOST_TEST(refusal("[[metre]]\n", use) == "m.toml:1: metre: unknown key; known tables: broker, meter");
    BOOST_TEST(refusal("id = 'x'\n[meter]\n", use) ==
               "m.toml:1: id: unknown key; known tables: broker, meter");
}

BOOST_AUTO_TEST_CASE(of_several_unknown_keys_the_first_in_the_file_is_named)
{
    const auto use = [](auto& file) { static_cast<void>(file.table("meter")); };
    BOOST_TEST(refusal("[meter]\nzebra = 1\napple = 2\n[another]\n", use) ==
               "m.toml:2: meter.zebra: unknown key; known: none");
}

BOOST_AUTO_TEST_CASE(a_table_asked_for_twice_is_one)
{
    const auto use = [](auto& file) {
        static_cast<void>(file.table("meter").string("id"));
        static_cast<void>(file.table("meter").string("name"));
    };
    BOOST_TEST(refusal("[meter]\nid = 'x'\nname = 'y'\n", use).empty());
}

BOOST_AUTO_TEST_CASE(a_table_outlives_its_file)
{
    auto meter = parse(good).table("meter");
    BOOST_TEST(meter.string("id").value() == "cellar");
}

BOOST_AUTO_TEST_CASE(a_caller_refuses_in_the_same_form)
{
    BOOST_TEST(refusal(good, [](auto& file) { file.table("meter").refuse("id", "no such meter"); }) ==
               "m.toml:2: meter.id: no such meter");
}

BOOST_AUTO_TEST_CASE(what_is_no_toml_is_one_line_with_its_place)
{
    const auto nothing = [](auto&) {};
    BOOST_TEST(refusal("[meter]\nid = \n", nothing).starts_with("m.toml:2:6: no valid TOML: "));
    BOOST_TEST(refusal("[)meter]\n", nothing).starts_with("m.toml: no valid TOML: ")); // found by the fuzzer
    for (const std::string_view text :
         {"[meter", "a = 1\na = 2", "x = \"\xff\"", "x = \"open", "= 1", "[a]\n[a]", "\x01"}) {
        const auto message = refusal(text, nothing);
        BOOST_TEST(message.starts_with("m.toml:"), text << " gave: " << message);
        BOOST_TEST(!contains(message, "\n"));
    }
}

BOOST_AUTO_TEST_CASE(I1_what_is_beyond_ascii_belongs_into_quotes_or_comments)
{
    const auto nothing = [](auto&) {};
    BOOST_TEST(refusal("[meter]\nid = \"a\"\ncurrency = £\n", nothing) ==
               "m.toml:3: no valid TOML: a character beyond ASCII stands outside of quotes");
    BOOST_TEST(refusal("a = \"x\"\u00a0\n", nothing).starts_with("m.toml:1: ")); // found by the fuzzer
    for (const std::string_view good :
         {"\xef\xbb\xbf[meter]\n", "x = \"£\" # £\n", "x = '£'\n# £", "\"£\" = 1",
          "x = \"\"\"\n£ \"£\" \\\"\"\"£\"\"\"\n", "x = '''\n'£'\n'''\n", "x = \"a\\\"£\""})
        BOOST_TEST(!contains(refusal(good, nothing), "beyond ASCII"), good);
}

BOOST_AUTO_TEST_CASE(I1_what_quotes_hold_arrives_as_it_was_written)
{
    const std::vector<std::pair<std::string_view, std::string_view>> written{
        {R"("£ €\U0001F600😀")", "£ €😀😀"},
        {R"("a\\£\"")", "a\\£\""},
        {R"('C:\£\"x"')", R"(C:\£\"x")"},
        {R"('C:\x')", R"(C:\x)"},
        {"\"\"\"\n£\n\"\"£ \\\n   b\"\"\"\"\"", "£\n\"\"£ b\"\""},
        {"'''\n'£\\'\n\"\"\"''''", "'£\\'\n\"\"\"'"},
    };
    for (const auto& [text, value] : written) {
        auto file = parse("['t£'] # £ \"\n\"k£\" = " + std::string(text) + " # £'\n");
        BOOST_TEST(file.table("t£").required_string("k£") == value, text);
    }
}

BOOST_AUTO_TEST_CASE(I1_what_is_beyond_ascii_and_malformed_is_refused_with_its_line)
{
    const auto nothing = [](auto&) {};
    BOOST_TEST(refusal("\nurl =0\"£\"\n", nothing).starts_with("m.toml:2:")); // to toml++ alone undefined
    BOOST_TEST(refusal("\nx = \"\\£\"", nothing) ==
               "m.toml:2: no valid TOML: a character beyond ASCII stands behind a backslash");
    BOOST_TEST(refusal("\n# \xc3(", nothing) ==
               "m.toml:2: no valid TOML: a control character, or bytes that are no UTF-8");
    for (const std::string_view open : {"x = '£", "x = \"£", "x = '''\n£", "x = \"\"\"£\\", "x = '£\n'"})
        BOOST_TEST(refusal(open, nothing).starts_with("m.toml:"), open);
    BOOST_TEST(refusal("x = '''£\n£'''\ny = \"£\"\nz z\n", nothing).starts_with("m.toml:4:"));
}

BOOST_AUTO_TEST_CASE(I1_deep_nesting_is_refused_not_followed)
{
    std::string text = "x = ";
    text.append(100'000, '[');
    BOOST_TEST(contains(refusal(text, [](auto&) {}), "no valid TOML"));
}

BOOST_AUTO_TEST_CASE(K7_an_unquoted_secret_is_not_quoted_by_the_error)
{
    for (const std::string_view text : {"[meter]\nkey = 70JZaJg4c5F7RIOhrSXNjq0Y0iGp1QtBy2gyVMSdHHY=\n",
                                        "[meter]\nkey = A0JZaJg4c5F7RIOhrSXNjq0Y0iGp1QtBy2gyVMSdHHY=\n"})
        BOOST_TEST(!contains(refusal(text, [](auto&) {}), "JZaJg"));
}

BOOST_AUTO_TEST_CASE(K7_a_file_with_secrets_is_refused_if_others_may_read_it)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "meter.toml";
    write_file(path, good, 0644);
    BOOST_TEST(ConfigFile::read(path, Secrecy::open).table("meter").required_string("id") == "cellar");
    const auto message =
        message_of<UsageError>([&] { static_cast<void>(ConfigFile::read(path, Secrecy::owner_only)); });
    BOOST_TEST(contains(message, "chmod 600 " + path.string()), message);
    write_file(path, good, 0600);
    BOOST_TEST(ConfigFile::read(path, Secrecy::owner_only).table("meter").required_string("id") == "cellar");
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
