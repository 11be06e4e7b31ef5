package portkeytest_test

import (
	"testing"

	"github.com/portkey-go/portkey/portkeytest"
)

// conditionalConfig returns a config that sends a request to the second target if the query matches.
func conditionalConfig(query string) string {
	return `{"strategy":{"mode":"conditional","default":"a","conditions":[{"query":` + query + `,"then":"b"}]},` +
		twoTargets + `}`
}

func TestConditionalConfig(t *testing.T) {
	t.Parallel()
	const metadata = `{"plan":"paid","n":"5","utf8":"gôld","count":1000000,"age":"21 years","size":"1_000","null":null}`
	for _, tt := range []struct {
		name, query string
		match       bool
	}{
		{"equal", `{"metadata.plan":"paid"}`, true},
		{"not equal", `{"metadata.plan":"free"}`, false},
		{"missing key", `{"metadata.unknown":{"$eq":"paid"}}`, false},
		{"missing key, null", `{"metadata.unknown":{"$eq":null}}`, false},
		{"missing key, $in null", `{"metadata.unknown":{"$in":[null]}}`, false},
		{"null", `{"metadata.null":{"$eq":null}}`, true},
		{"nested key", `{"metadata.plan.name":"paid"}`, true}, // the gateway reads metadata.plan
		{"unknown scope", `{"headers.plan":{"$ne":"paid"}}`, true},
		{"UTF-8 metadata is not decoded", `{"metadata.utf8":{"$eq":"g\u00f4ld"}}`, false},
		{"UTF-8 metadata is read as Latin-1", `{"metadata.utf8":{"$eq":"g\u00c3\u00b4ld"}}`, true},
		{"UTF-8 config is read as Latin-1", `{"metadata.utf8":{"$eq":"gôld"}}`, true},
		{"$ne", `{"metadata.plan":{"$ne":"free"}}`, true},
		{"$in", `{"metadata.plan":{"$in":["free","paid"]}}`, true},
		{"$nin", `{"metadata.plan":{"$nin":["free","paid"]}}`, false},
		{"$nin without a list", `{"metadata.plan":{"$nin":"free"}}`, false},
		{"$gt", `{"metadata.n":{"$gt":4}}`, true},
		{"$gt with spaces", `{"metadata.n":{"$gt":" 4 "}}`, true},
		{"$gt of text that begins with a number", `{"metadata.age":{"$gt":18}}`, true},
		{"$gt with an underscore", `{"metadata.size":{"$gt":50}}`, false},
		{"$gte and $lt", `{"metadata.n":{"$gte":5,"$lt":5}}`, false},
		{"$lte with a string", `{"metadata.n":{"$lte":"5"}}`, true},
		{"$lte of text", `{"metadata.plan":{"$lte":5}}`, false},
		{"a string does not equal a number", `{"metadata.n":5}`, false},
		{"$regex on a parameter", `{"params.model":{"$regex":"^m\\d$"}}`, true},
		{"$regex on a number", `{"metadata.count":{"$regex":"^1000000$"}}`, true},
		{"$regex that JavaScript rejects", `{"metadata.plan":{"$regex":"(?i)paid"}}`, false},
		{"$regex that Go reads differently", `{"metadata.plan":{"$regex":"^\\p\\aid$"}}`, true},
		{"operator after $regex", `{"metadata.plan":{"$regex":"paid","$eq":"free"}}`, true},
		{"operator before $regex", `{"metadata.plan":{"$eq":"free","$regex":"paid"}}`, false},
		{"$and", `{"$and":[{"metadata.plan":"paid"},{"metadata.n":"6"}]}`, false},
		{"$or", `{"$or":[{"metadata.plan":"free"},{"url.pathname":"/v1/chat/completions"}]}`, true},
		{"$or without a match", `{"$or":[{"metadata.plan":"free"},{"params.stream":true}]}`, false},
		{"key after $or", `{"$or":[{"metadata.plan":"paid"}],"metadata.n":"6"}`, true},
		{"key before $or", `{"metadata.n":"6","$or":[{"metadata.plan":"paid"}]}`, false},
		{"key after $and", `{"$and":[{"metadata.plan":"paid"}],"metadata.n":"6"}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := configResult{200, "config.targets[0]", "0", "openai k1"}
			if tt.match {
				want = configResult{200, "config.targets[1]", "0", "groq k2"}
			}
			got := sendWithConfig(t, conditionalConfig(tt.query), metadata)
			checkEqual(t, "result", got, want)
		})
	}
}

func TestConditionalConfigThatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	withStrategy := func(strategy string) string {
		return `{"strategy":{"mode":"conditional",` + strategy + `},` + twoTargets + `}`
	}
	for _, tt := range []struct{ name, config, want string }{
		{"unknown operator", conditionalConfig(`{"params.model":{"$like":"m"}}`),
			"Unsupported operator used in the query router: $like"},
		{"null in a list of queries", conditionalConfig(`{"$or":[null]}`),
			"Cannot convert undefined or null to object"},
		{"unknown target", withStrategy(`"conditions":[{"query":{},"then":"c"}]`),
			"Invalid target name found in the query router: c"},
		{"unknown default", withStrategy(`"default":"c","conditions":[]`),
			"Invalid target name found in the query router: c"},
		{"no default", withStrategy(`"conditions":[]`),
			"Query router did not resolve to any valid target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, body := postChat(t, gw, portkeyHeader("Config", tt.config), chatBody)
			checkEqual(t, "status", resp.StatusCode, 400)
			checkEqual(t, "body", body, `{"status":"failure","message":"`+tt.want+`"}`)
		})
	}
}

func TestRegexpThatGoCannotCompileFailsTheTest(t *testing.T) {
	t.Parallel()
	const want = "portkeytest: cannot evaluate the regular expression ^(?!free): Go does not support a lookahead"
	tb := &fakeTB{}
	gw := portkeytest.NewGateway(tb)
	header := portkeyHeader("Config", conditionalConfig(`{"params.model":{"$regex":"^(?!free)"}}`))
	resp, body := postChat(t, gw, header, chatBody)
	checkEqual(t, "status", resp.StatusCode, 501)
	checkEqual(t, "body", body, `{"status":"failure","message":"`+want+`"}`)
	checkErrors(t, tb.end(), want)
}
