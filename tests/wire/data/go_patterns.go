// Writes go_patterns.json: regular expressions, Go's verdict on each, and the bodies that each matches.
// The API server judges expectedBody with the same package.
//
//	go run go_patterns.go > go_patterns.json
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Expressions, among them each form that another syntax reads differently.
var patterns = []string{
	// Braces that are no repetition.
	`{"status":"UP"}`, `{"status": *"(UP|OK)"}`, `{}`, `{,5}`, `a{`, `a{x}`, `{ok}`, `^{`, `}`, `\{"a":1\}`,
	// Repetitions.
	`a{2}`, `a{2,}`, `a{2,3}`, `a{0}b`, `o{1,2}?k`, `a{3,2}`, `[0-9a-f]{64}`, `a{100}`, `a{1001}`, `(ab){2}`, `\){2}`,
	`a{2}a{2}a{2}a{2}a{2}a{2}a{2}a{2}a{2}`, `a**`, `a*?b+?`, `*`,
	// Escapes.
	`\<status\>`, `\Q{"a"}\E`, `\Q.*`, `\.`, `\_`, `\-`, `\/`, `\"`, `\%`, `\é`, `\1`, `\12`, `\012`, `\x41`, `\x{41}`,
	`\x{e9}`, `\xff`, `\x{D800}`, `\x{110000}`, `\u0041`, `\e`, `\cA`, `\h`, `\K`, `\R`, `\Z`, `\G`, `\C`, `\a\f\v`,
	`\A\z`, `\pL`, `\p{Greek}`, `\PN`, `\\p`, `\`,
	// Classes.
	`[a-z&&0-9]`, `[a&&b]`, `[a--b]`, `[--/]`, `[a~~b]`, `[[a]b]`, `[[ab]`, `[]a]`, `[^]a]`, `[a-]`, `[-a]`, `[a\]b]`,
	`[\d-z]`, `[a-\d]`, `[z-a]`, `[^\n]`, `[[:alpha:]]+$`, `[[:^space:]]`, `[[:word:]]`, `[[:foo:]]`, `[:alpha:]`,
	`[\s]`, `[^\S]`, `[\x{D800}]`, `[^\x00-\x{10FFFF}]`, `[\b]`, `[é-ü]`, `[a`, `[{}]`, `[\Qa]`, `[#~|-]`,
	// ASCII classes and bytes.
	`^.$`, `^..$`, `^...$`, `.`, `\d`, `\w`, `^\W$`, `\s`, `^\S+$`, `\bé`, `é\b`, `\B`, `^\B`, `\b`, `\x{fffd}`,
	// Flags.
	`(?i)STATUS`, `(?i)k`, `(?i)S`, `(?i)É`, `(?i:u)p`, `(?i)\W`, `(?i)[^k]`, `(?s).`, `(?s)^.*$`, `^.*$`, `(?m)^ok$`,
	`^ok$`, `(?m)b$`, `(?-i)up`, `(?U)a+`, `(?x)a b`, `(?u)a`, `(?R)a`, `(?i)(?-i:UP)|ok`, `((?i)u)p`, `(?ims-U:UP.OK)`,
	// Groups, assertions and alternatives.
	`(?P<name>ok)`, `(?<name>ok)`, `(?'name'ok)`, `(?=ok)`, `(?!ok)`, `(?<=ok)`, `(?>ok)`, `(?#c)`, `()`, `(|a)$`, `a||b`,
	`|`, `(`, `)`, `(ok`, `ok)`, `^*`, `$`, `^$`, `\b*`, `(a*)*$`, `up|UP`, `a # b`, ` `, `"status"\s*:\s*"(UP|OK)"`,
}

var bodies = []string{
	"", "ok", "ok\n", "not ok", "OK", "UP", "UP\nOK", "a", "b", "ab", "aa", "aaa", "aaaaaaaaaaaaaaaaaaaaaaaaa", "abab", "))",
	`{"status":"UP"}`, `{"status": "OK"}`, `{"a":1}`, `{"a"}`, "{ok}", "{,5}", "{}", "{", "}", "a{", "a{x}", "a{2}",
	"<status>", "status", "a&&b", "a&]", "&", "-", "~", "[", "]", "a]", "b]", "[ab", "[a]", "z", "5", "7:", "#|", "a # b", "a b",
	"é", "ö", "É", "éa", "aéa", "\xc3", "\xff", "\xff\xfe", "\xe2\x82", "€", "\u2028", "\ufffd", "\u212a", "\u017f", "K", "s",
	"٣", "\u00a0", "\v", "\f", "\t", "\r\n", "\n", " ", "\x00", "A", "\x0a", "\a\f\v", ".*", ".", "_", "/", "\"", "%", `\p`, `\`,
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
}

type entry struct {
	Pattern string `json:"pattern"`
	// The numbers of the matching bodies; null if the pattern does not compile.
	Matches []int `json:"matches"`
}

func encode(value any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return strings.TrimSpace(text.String())
}

func main() {
	var encoded, lines []string
	for _, body := range bodies {
		encoded = append(encoded, hex.EncodeToString([]byte(body)))
	}
	for _, pattern := range patterns {
		entry := entry{Pattern: pattern}
		if compiled, err := regexp.Compile(pattern); err == nil {
			entry.Matches = []int{}
			for number, body := range bodies {
				if compiled.Match([]byte(body)) {
					entry.Matches = append(entry.Matches, number)
				}
			}
		}
		lines = append(lines, encode(entry))
	}
	fmt.Printf("{\n\"bodies\": %s,\n\"patterns\": [\n%s\n]\n}\n", encode(encoded), strings.Join(lines, ",\n"))
}
