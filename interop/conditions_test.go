package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portkey-go/portkey/interop/internal/realgateway"
	"github.com/portkey-go/portkey/portkeytest"
)

// The values that the queries below compare.
const (
	queryMetadata = `{"plan":"paid","n":"5","int":42,"float":1.5,"million":1000000,"huge":1e21,"tiny":1e-7,"zero":0,` +
		`"minus0":-0,"thousand":"1_000","age":"21 years","inf":"Infinity","hex":"0x10","point":".5","exp":"1e3x",` +
		`"space":" 7 ","nbsp":"\u00a07","empty":"","yes":true,"no":false,"null":null,"list":[1,"a",null,[2]],` +
		`"seven":[7],"object":{"a":1},"gold":"g\u00f4ld","emoji":"\ud83d\ude00","lines":"a\nb","cr":"a\rb","undefined":"u",` +
		`"a.b":"dotted","7":"seven","NaN":"NaN"}`
	queryBody = `{"model":"m1","max_tokens":16,"temperature":0.5,"stream":false,"user":"u-17","stop":["a","b"],` +
		`"messages":[{"role":"user","content":"hi there"}],"metadata":{"k":"v"},"n":null}`
)

var handWrittenQueries = []string{
	// What a query compares.
	`{}`,
	`{"metadata.plan":"paid"}`,
	`{"metadata.plan":"free"}`,
	`{"metadata.plan":{}}`,
	`{"metadata.plan":[]}`,
	`{"metadata.plan":["paid"]}`,
	`{"metadata.null":null}`,
	`{"metadata.missing":null}`,
	`{"metadata.missing":{}}`,
	`{"metadata.missing":""}`,
	`{"metadata.n":5}`,
	`{"metadata.int":42}`,
	`{"metadata.int":42.0}`,
	`{"metadata.int":4.2e1}`,
	`{"metadata.int":"42"}`,
	`{"metadata.zero":-0}`,
	`{"metadata.minus0":0}`,
	`{"metadata.yes":true}`,
	`{"metadata.yes":1}`,
	`{"metadata.no":false}`,
	`{"metadata.zero":false}`,
	`{"metadata.gold":"g\u00f4ld"}`,
	`{"metadata.gold":"gôld"}`,
	`{"metadata.emoji":"\ud83d\ude00"}`,
	`{"metadata.a.b":"dotted"}`,
	`{"metadata.object.a":1}`,
	`{"metadata.plan.":"paid"}`,
	`{"metadata.":"paid"}`,
	`{"metadata":"u"}`,
	`{"metadata":{"$eq":"u"}}`,
	`{"plan":"paid"}`,
	`{"headers.x":"y"}`,
	`{"headers.x":{"$ne":"y"}}`,
	`{".plan":"paid"}`,
	`{"":null}`,
	`{"metadata.length":0}`,
	`{"url.pathname":"/v1/chat/completions"}`,
	`{"url.pathname":{"$regex":"chat"}}`,
	`{"url":"/v1/chat/completions"}`,
	`{"params.model":"m1"}`,
	`{"params.stream":false}`,
	`{"params.stop":{"$eq":["a","b"]}}`,
	`{"params.stop":{"$regex":"^a,b$"}}`,
	`{"params.messages":{"$regex":"^\\[object Object\\]$"}}`,
	`{"params.metadata":{"$eq":{"k":"v"}}}`,
	`{"params.metadata":{"$ne":{"k":"v"}}}`,
	`{"params.n":null}`,
	`{"params.temperature":{"$gte":0.5,"$lte":0.5}}`,

	// The order of members, and what ends an evaluation.
	`{"$or":[{"metadata.plan":"paid"}],"metadata.plan":"free"}`,
	`{"metadata.plan":"free","$or":[{"metadata.plan":"paid"}]}`,
	`{"metadata.plan":"paid","$or":[{"metadata.plan":"free"}]}`,
	`{"$and":[{"metadata.plan":"paid"}],"metadata.plan":"free"}`,
	`{"$and":[{"metadata.plan":"free"}],"$or":[{"metadata.plan":"paid"}]}`,
	`{"$or":[{"metadata.plan":"paid"}],"$and":[{"metadata.plan":"free"}]}`,
	`{"$or":[]}`,
	`{"$and":[]}`,
	`{"$or":[],"metadata.plan":"paid"}`,
	`{"$and":[],"metadata.plan":"free"}`,
	`{"$or":{"metadata.plan":"paid"}}`,
	`{"$or":"paid"}`,
	`{"$or":{}}`,
	`{"$and":null}`,
	`{"$or":[{"$and":[{"metadata.plan":"paid"},{"metadata.n":"5"}]},{"metadata.plan":"free"}]}`,
	`{"$and":[{"$or":[{"metadata.plan":"free"},{"metadata.n":"5"}]},{"metadata.plan":"paid"}]}`,
	`{"$or":[null]}`,
	`{"$or":[{},null]}`,
	`{"$and":[{"metadata.plan":"free"},null]}`,
	`{"$and":[5,true]}`,
	`{"$and":["a"]}`,
	`{"$and":[""]}`,
	`{"$and":[["a"]]}`,
	`{"$and":[[]]}`,
	`{"$not":[{"metadata.plan":"paid"}]}`,
	`{"$nor":{}}`,
	`{"metadata.plan":{"$regex":"paid","$eq":"free"}}`,
	`{"metadata.plan":{"$eq":"free","$regex":"paid"}}`,
	`{"metadata.plan":{"$regex":"free","$eq":"paid"}}`,
	`{"metadata.plan":{"$regex":"paid","$unknown":1}}`,
	`{"metadata.plan":{"$unknown":1,"$regex":"paid"}}`,
	`{"metadata.plan":{"$eq":"free","$unknown":1}}`,
	`{"metadata.plan":{"$eq":"paid","$unknown":1}}`,
	`{"metadata.plan":{"$unknown":1,"7":1}}`,
	`{"metadata.plan":{"10":1,"9":1}}`,
	`{"metadata.plan":{"09":1,"9":1}}`,
	`{"metadata.plan":{"eq":"paid"}}`,
	`{"metadata.plan":{"$exists":true}}`,
	`{"metadata.plan":{"$options":"i","$regex":"PAID"}}`,
	`{"metadata.plan":"free","metadata.plan":"paid"}`,
	`{"metadata.plan":{"$eq":"free","$eq":"paid"}}`,
	`{"metadata.plan":{"$regex":"paid","$eq":"free","$regex":"free"}}`,

	// Equality and lists.
	`{"metadata.missing":{"$eq":null}}`,
	`{"metadata.missing":{"$ne":null}}`,
	`{"metadata.null":{"$eq":null}}`,
	`{"metadata.null":{"$ne":null}}`,
	`{"metadata.missing":{"$in":[null]}}`,
	`{"metadata.null":{"$in":[null]}}`,
	`{"metadata.missing":{"$nin":[null]}}`,
	`{"metadata.missing":{"$in":[]}}`,
	`{"metadata.plan":{"$in":["free","paid"]}}`,
	`{"metadata.plan":{"$in":"paid"}}`,
	`{"metadata.plan":{"$nin":"free"}}`,
	`{"metadata.plan":{"$nin":[]}}`,
	`{"metadata.int":{"$in":["42"]}}`,
	`{"metadata.int":{"$in":[42.0]}}`,
	`{"metadata.seven":{"$in":[[7]]}}`,
	`{"metadata.seven":{"$nin":[[7]]}}`,
	`{"metadata.object":{"$eq":{"a":1}}}`,
	`{"metadata.yes":{"$in":["true"]}}`,
	`{"metadata.yes":{"$eq":true}}`,
	`{"metadata.n":{"$eq":5}}`,
	`{"metadata.n":{"$ne":5}}`,

	// Numbers.
	`{"metadata.thousand":{"$gt":50}}`,
	`{"metadata.thousand":{"$lt":2}}`,
	`{"metadata.age":{"$gt":18}}`,
	`{"metadata.age":{"$gte":"21 months"}}`,
	`{"metadata.million":{"$gte":1000000}}`,
	`{"metadata.million":{"$gte":"1e6"}}`,
	`{"metadata.huge":{"$gt":1}}`,
	`{"metadata.tiny":{"$lt":1}}`,
	`{"metadata.tiny":{"$gt":0}}`,
	`{"metadata.inf":{"$gt":1e308}}`,
	`{"metadata.int":{"$lt":"Infinity"}}`,
	`{"metadata.int":{"$lt":"infinity"}}`,
	`{"metadata.int":{"$gt":"-Infinity"}}`,
	`{"metadata.hex":{"$gt":1}}`,
	`{"metadata.hex":{"$lte":0}}`,
	`{"metadata.point":{"$gt":".4"}}`,
	`{"metadata.point":{"$lt":"+.6"}}`,
	`{"metadata.exp":{"$gte":1000}}`,
	`{"metadata.exp":{"$lt":"1e"}}`,
	`{"metadata.int":{"$gt":"1."}}`,
	`{"metadata.int":{"$gt":"1.e1"}}`,
	`{"metadata.int":{"$gt":"--1"}}`,
	`{"metadata.space":{"$gte":7}}`,
	`{"metadata.nbsp":{"$gte":7}}`,
	`{"metadata.nbsp":{"$lte":"\ufeff7"}}`,
	`{"metadata.empty":{"$gte":0}}`,
	`{"metadata.null":{"$gte":0}}`,
	`{"metadata.missing":{"$gte":0}}`,
	`{"metadata.yes":{"$gte":0}}`,
	`{"metadata.seven":{"$gte":7}}`,
	`{"metadata.list":{"$gte":1}}`,
	`{"metadata.object":{"$gte":0}}`,
	`{"metadata.NaN":{"$gte":0}}`,
	`{"metadata.int":{"$gt":null}}`,
	`{"metadata.int":{"$gt":[41]}}`,
	`{"metadata.int":{"$gt":{}}}`,
	`{"metadata.float":{"$gt":1,"$lt":2}}`,
	`{"metadata.float":{"$gt":1,"$lt":1.5}}`,
	`{"metadata.plan":{"$gt":"free"}}`,

	// What a regular expression is matched with.
	`{"metadata.million":{"$regex":"^1000000$"}}`,
	`{"metadata.huge":{"$regex":"^1e\\+21$"}}`,
	`{"metadata.tiny":{"$regex":"^1e-7$"}}`,
	`{"metadata.float":{"$regex":"^1\\.5$"}}`,
	`{"metadata.minus0":{"$regex":"^0$"}}`,
	`{"metadata.missing":{"$regex":"^undefined$"}}`,
	`{"metadata.null":{"$regex":"^null$"}}`,
	`{"metadata.yes":{"$regex":"^true$"}}`,
	`{"metadata.list":{"$regex":"^1,a,,2$"}}`,
	`{"metadata.object":{"$regex":"object"}}`,
	`{"metadata.empty":{"$regex":"^$"}}`,
	`{"metadata.plan":{"$regex":""}}`,
	`{"metadata.plan":{"$regex":null}}`,
	`{"metadata.null":{"$regex":null}}`,
	`{"metadata.int":{"$regex":42}}`,
	`{"metadata.million":{"$regex":1000000}}`,
	`{"metadata.yes":{"$regex":true}}`,
	`{"metadata.plan":{"$regex":["paid"]}}`,
	`{"metadata.plan":{"$regex":{}}}`,
	`{"metadata.object":{"$regex":{}}}`,

	// What a regular expression means.
	`{"metadata.plan":{"$regex":"^p.*d$"}}`,
	`{"metadata.plan":{"$regex":"PAID"}}`,
	`{"metadata.plan":{"$regex":"(?i)PAID"}}`,
	`{"metadata.plan":{"$regex":"(?P<x>paid)"}}`,
	`{"metadata.plan":{"$regex":"(?<x>paid)"}}`,
	`{"metadata.plan":{"$regex":"(?<x>p)(?<x>a)"}}`,
	`{"metadata.plan":{"$regex":"\\Qpaid\\E"}}`,
	`{"metadata.plan":{"$regex":"\\Apaid\\z"}}`,
	`{"metadata.plan":{"$regex":"[[:alpha:]]"}}`,
	`{"metadata.plan":{"$regex":"\\pL"}}`,
	`{"metadata.plan":{"$regex":"\\u0070aid"}}`,
	`{"metadata.plan":{"$regex":"\\u{70}aid"}}`,
	`{"metadata.plan":{"$regex":"\\x70aid"}}`,
	`{"metadata.plan":{"$regex":"\\x{70}aid"}}`,
	`{"metadata.plan":{"$regex":"\\p\\a\\i\\d"}}`,
	`{"metadata.plan":{"$regex":"p*+"}}`,
	`{"metadata.plan":{"$regex":"*"}}`,
	`{"metadata.plan":{"$regex":"(paid"}}`,
	`{"metadata.plan":{"$regex":"paid)"}}`,
	`{"metadata.plan":{"$regex":"[paid"}}`,
	`{"metadata.plan":{"$regex":"[d-a]"}}`,
	`{"metadata.plan":{"$regex":"p{2,1}"}}`,
	`{"metadata.plan":{"$regex":"p{1}aid"}}`,
	`{"metadata.plan":{"$regex":"p{,1}aid"}}`,
	`{"metadata.plan":{"$regex":"p{x"}}`,
	`{"metadata.plan":{"$regex":"]|}|paid"}}`,
	`{"metadata.plan":{"$regex":"[]"}}`,
	`{"metadata.plan":{"$regex":"[^]{4}"}}`,
	`{"metadata.plan":{"$regex":"[]paid]"}}`,
	`{"metadata.plan":{"$regex":"^[\\w-z]+$"}}`,
	`{"metadata.plan":{"$regex":"\\bpaid\\b"}}`,
	`{"metadata.plan":{"$regex":"\\"}}`,
	`{"metadata.plan":{"$regex":"\\1paid"}}`,
	`{"metadata.plan":{"$regex":"\\160aid"}}`,
	`{"metadata.plan":{"$regex":"\\cpaid"}}`,
	`{"metadata.plan":{"$regex":"(?#comment)paid"}}`,
	`{"metadata.plan":{"$regex":"^*paid"}}`,
	`{"metadata.nbsp":{"$regex":"^\\s7"}}`,
	`{"metadata.nbsp":{"$regex":"^[\\S]+$"}}`,
	`{"metadata.space":{"$regex":"^[^\\s]"}}`,
	`{"metadata.lines":{"$regex":"^b"}}`,
	`{"metadata.lines":{"$regex":"a$"}}`,
	`{"metadata.lines":{"$regex":"a.b"}}`,
	`{"metadata.lines":{"$regex":"a[^x]b"}}`,
	`{"metadata.cr":{"$regex":"a.b"}}`,
	`{"metadata.lines":{"$regex":"a[\\s\\S]b"}}`,
	`{"metadata.emoji":{"$regex":"^.$"}}`,
	`{"metadata.emoji":{"$regex":"^..$"}}`,
	`{"metadata.emoji":{"$regex":"^\\ud83d"}}`,
	`{"metadata.emoji":{"$regex":"^[\ud83d\ude00]{2}$"}}`,
	`{"metadata.emoji":{"$regex":"^[\\u0000-\\uffff]+$"}}`,
	`{"metadata.gold":{"$regex":"^g\\wld$"}}`,
	`{"metadata.gold":{"$regex":"^g\u00f4ld$"}}`,
	`{"metadata.age":{"$regex":"^\\d+ years?$"}}`,
	`{"metadata.n":{"$regex":"^[0-5]$"}}`,

	// Go has no counterpart for these.
	`{"metadata.plan":{"$regex":"^(?=p)"}}`,
	`{"metadata.plan":{"$regex":"^(?!p)"}}`,
	`{"metadata.plan":{"$regex":"(?<=pa)id"}}`,
	`{"metadata.plan":{"$regex":"(p)\\1"}}`,
	`{"metadata.plan":{"$regex":"(?<x>p)\\k<x>"}}`,
	`{"metadata.plan":{"$regex":"p{1001}"}}`,
	`{"metadata.plan":{"$regex":"(?=p"}}`, // invalid in both
}

const unsupportedHandWrittenQueries = 6

// A queryGenerator makes queries of all forms from few names and values, so that many of them match.
type queryGenerator struct{ *rand.Rand }

func (g queryGenerator) pick(values string) string {
	all := strings.Fields(values)
	return all[g.IntN(len(all))]
}

func (g queryGenerator) query(depth int) string {
	var members []string
	for range 1 + g.IntN(3) {
		if depth > 0 && g.IntN(3) == 0 {
			var queries []string
			for range g.IntN(4) {
				queries = append(queries, g.query(depth-1))
			}
			members = append(members, fmt.Sprintf(`%q:[%s]`, g.pick("$and $or"), strings.Join(queries, ",")))
			continue
		}
		key := g.pick(`metadata.plan metadata.n metadata.int metadata.float metadata.million metadata.thousand
			metadata.age metadata.space metadata.empty metadata.yes metadata.null metadata.list metadata.seven
			metadata.missing metadata.tiny params.model params.max_tokens params.stream params.stop params.user
			url.pathname metadata.7 metadata`)
		members = append(members, fmt.Sprintf(`%q:%s`, key, g.operand()))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g queryGenerator) operand() string {
	if g.IntN(4) == 0 {
		return g.value()
	}
	var operators []string
	for range 1 + g.IntN(3)*g.IntN(2) {
		operator := g.pick("$eq $ne $ne $gt $gte $lt $lte $in $nin $regex $regex")
		value := g.value()
		switch operator {
		case "$in", "$nin":
			value = "[" + value + "," + g.value() + "," + g.value() + "]"
		case "$regex":
			if g.IntN(4) > 0 {
				value = g.regex()
			}
		}
		operators = append(operators, fmt.Sprintf(`%q:%s`, operator, value))
	}
	return "{" + strings.Join(operators, ",") + "}"
}

func (g queryGenerator) value() string {
	return g.pick(`"paid" "free" "5" 5 42 "42" 1.5 1000000 "1e6" 1e-7 "21" 16 "16" 0 "" true false null "m1" [7] [] {}
		"/v1/chat/completions" "u-17" "1,000" "-1" "0x1F" 1e21 "seven"`)
}

// regex returns a regular expression as a JSON string. Many are invalid.
func (g queryGenerator) regex() string {
	var b strings.Builder
	for range 1 + g.IntN(5) {
		b.WriteString(g.pick(`a p d 1 7 0 e m x . ^ $ * + ? {2} {1,} {,2} ( ) (?: (?<n> (?i) [ ] [^ - \d \w \s \S \D \b \B
			| \u0061 \x31 \1 \z \. \- , pai true null 000 u-`))
	}
	text, _ := json.Marshal(b.String())
	return string(text)
}

func TestPortkeytestRoutesAsTheGatewayDoes(t *testing.T) {
	t.Parallel()
	gateway := withoutVersion(realgateway.URL(t))
	gw := portkeytest.Start() // nobody is told about a regular expression that Go cannot compile
	defer gw.Close()
	u := newUpstream(t, reply(http.StatusOK, `{}`))
	host := http.Header{"X-Portkey-Custom-Host": {u.URL + "/v1"}}

	queries := handWrittenQueries
	g := queryGenerator{rand.New(rand.NewPCG(1, 2))}
	for range 400 {
		queries = append(queries, g.query(2))
	}

	// routed returns the target that a query selected, or the gateway's error.
	routed := func(a corpusAnswer) string {
		body, _ := a.Body.(map[string]any)
		return fmt.Sprint(a.Status, " ", a.Header["X-Portkey-Last-Used-Option-Index"], body["message"])
	}
	var mu sync.Mutex
	results := make(map[string]int)
	unsupported := 0
	inParallel(len(queries), func(i int) {
		r := corpusRequest{name: queries[i], body: queryBody,
			header: withConfig(conditionalOn(queries[i]), "metadata", queryMetadata)}
		answer := r.send(t, withoutVersion(gw.URL()), host)
		if answer.Status == http.StatusNotImplemented {
			mu.Lock()
			unsupported++
			mu.Unlock()
			if i < len(handWrittenQueries)-unsupportedHandWrittenQueries-1 {
				t.Errorf("%s: got %s, want a query that portkeytest can evaluate", queries[i], answer)
			}
			return
		}
		got, want := routed(answer), routed(r.send(t, gateway, host))
		check(t, queries[i], got, want)
		mu.Lock()
		results[want]++
		mu.Unlock()
	})
	t.Logf("%d queries, %d not supported by portkeytest; of the others: %v", len(queries), unsupported, results)
	if n := len(queries) - unsupported; n < len(handWrittenQueries)+300 {
		t.Errorf("queries compared: got %d, want 300 generated ones at least", n-len(handWrittenQueries))
	}
}
