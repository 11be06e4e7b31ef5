package providers

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A result is what Lookup returns; the zero result is that of a URL without a match.
type result struct {
	endpoint, provider string
	headers            map[string]string
}

func lookUp(t *testing.T, table *Table, text string) (r result) {
	t.Helper()
	endpoint, implied, ok := table.Lookup(parse(t, text))
	if !ok {
		return result{}
	}
	r = result{endpoint: endpoint, provider: implied.Provider}
	for _, h := range implied.Headers {
		if r.headers == nil {
			r.headers = make(map[string]string)
		}
		r.headers[h.Key] = h.Value
	}
	return r
}

func TestLookup(t *testing.T) {
	t.Parallel()
	deployment := map[string]string{"X-Portkey-Azure-Resource-Name": "res", "X-Portkey-Azure-Deployment-Id": "dep"}
	withVersion := map[string]string{"X-Portkey-Azure-Api-Version": "2024-06-01"}
	for key, value := range deployment {
		withVersion[key] = value
	}
	const azure = "https://res.openai.azure.com/openai/deployments/dep"
	tests := []struct {
		name, url string
		want      result
	}{
		{"translated endpoint", "https://api.together.xyz/v1/chat/completions", result{"/chat/completions", "together-ai", nil}},
		{"other endpoint keeps the suffix", "https://api.together.xyz/v1/models", result{"/v1/models", "together-ai", nil}},
		{"escaped path", "https://api.openai.com/v1/files/a%2Fb", result{"/files/a%2Fb", "openai", nil}},
		{"base URL itself", "https://api.openai.com/v1", result{"", "openai", nil}},
		{"longest base URL", "https://api.cohere.com/compatibility/v1/embeddings", result{"/embeddings", "cohere", map[string]string{customHost: "https://api.cohere.com"}}},
		{"shorter base URL", "https://api.cohere.com/v2/rerank", result{"/v2/rerank", "cohere", map[string]string{customHost: "https://api.cohere.com"}}},
		{"names in host and path", azure + "/chat/completions", result{"/chat/completions", "azure-openai", deployment}},
		{"name in the suffix", azure + "/audio/speech", result{"/deployments/dep/audio/speech", "azure-openai", deployment}},
		{"header from the query", azure + "/chat/completions?api-version=2024-06-01", result{"/chat/completions", "azure-openai", withVersion}},
		{"query of an endpoint that the gateway proxies", azure + "/other?api-version=2024-06-01", result{"/deployments/dep/other", "azure-openai", deployment}},
		{"only translated endpoints", "https://api.fireworks.ai/inference/v1/embeddings", result{"/embeddings", "fireworks-ai", nil}},
		{"not an only translated endpoint", "https://api.fireworks.ai/inference/v1/models", result{}},
		{"path that continues a segment", "https://api.openai.com/v10/models", result{}},
		{"invalid value for a name", "https://res.openai.azure.com/openai/deployments/a%20b/x", result{"/deployments/a%20b/x", "azure-openai", map[string]string{"X-Portkey-Azure-Resource-Name": "res"}}},
		{"two labels for a name", "https://a.res.openai.azure.com/openai/x", result{}},
		{"no label for a name", "https://.openai.azure.com/openai/x", result{}},
		{"other scheme", "http://api.openai.com/v1/models", result{}},
		{"other port", "https://api.openai.com:8443/v1/models", result{}},
		{"credentials", "https://user@api.openai.com/v1/models", result{}},
		{"OAuth endpoint", "https://api.openai.com/v1/OAuth/token", result{}},
		{"discovery endpoint", "https://api.openai.com/v1/.well-known/x", result{}},
		{"unknown host", "https://api.openai.com.evil.example/v1/models", result{}},
		{"host without a dot", "https://localhost/v1/models", result{}},
	}
	table := new(Table)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lookUp(t, table, tt.url); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestLookupOfClouds(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	const converse = "/model/amazon.nova-lite-v1%3A0/converse"
	tests := []struct {
		name, url string
		want      result
	}{
		{"name that ends at a hyphen", "https://us-central1-aiplatform.googleapis.com/v1/projects/p/x:rawPredict", result{"/v1/projects/p/x:rawPredict", "vertex-ai", headers{"X-Portkey-Vertex-Region": "us-central1"}}},
		{"constant in place of the name", "https://aiplatform.googleapis.com/v1/projects/p", result{"/v1/projects/p", "vertex-ai", headers{"X-Portkey-Vertex-Region": "global"}}},
		{"name and custom host", "https://aiplatform.eu.rep.googleapis.com/v1/projects/p", result{"/v1/projects/p", "vertex-ai", headers{"X-Portkey-Vertex-Region": "eu", customHost: "https://aiplatform.eu.rep.googleapis.com"}}},
		{"name in the second label", "https://bedrock-runtime.eu-west-1.amazonaws.com" + converse, result{converse, "bedrock", headers{"X-Portkey-Aws-Region": "eu-west-1"}}},
		{"host in upper case", "https://Bedrock-Runtime.EU-West-1.AmazonAWS.com:443" + converse, result{converse, "bedrock", headers{"X-Portkey-Aws-Region": "eu-west-1"}}},
		{"region of OpenAI", "https://eu.api.openai.com/v1/files/f1", result{"/files/f1", "openai", headers{customHost: "https://eu.api.openai.com/v1"}}},
		{"names in host, path and custom host", "https://res.cognitiveservices.azure.com/openai/deployments/dep/x", result{"/deployments/dep/x", "azure-openai", headers{
			"X-Portkey-Azure-Resource-Name": "res", "X-Portkey-Azure-Deployment-Id": "dep", customHost: "https://res.cognitiveservices.azure.com/openai"}}},
		{"another header for the base URL", "https://res.services.ai.azure.com/models/info?api-version=1", result{"/info", "azure-ai", headers{
			"X-Portkey-Azure-Resource-Name": "res", foundryURL: "https://res.services.ai.azure.com/models"}}},
		{"Realtime, by default", "https://api.openai.com/v1/realtime?model=m", result{"/realtime", "openai", nil}},
		{"Realtime, of a region", "https://eu.api.openai.com/v1/realtime?model=m", result{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lookUp(t, new(Table), tt.url); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The URLs are made by hand, as a client can make them: url.Parse refuses some of the hosts.
func TestLookAlikesAreRefused(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.url, func(t *testing.T) {
			refuse := func(what, host string, change func(*url.URL)) {
				t.Helper()
				u := parse(t, fill(r.url, "value-1")+"/models")
				if host != "" {
					u.Host = host
				}
				if change != nil {
					change(u)
				}
				if endpoint, implied, ok := new(Table).Lookup(u); ok {
					t.Errorf("%s: got %s, %+v for host %q, want no match", what, endpoint, implied, u.Host)
				}
			}
			pattern, _, _ := strings.Cut(strings.TrimPrefix(r.url, "https://"), "/")
			host := fill(pattern, "value-1")
			refuse("label in front", "evil."+host, nil)
			refuse("label behind", host+".evil.example", nil)
			refuse("dot behind", host+".", nil)
			refuse("dot in front", "."+host, nil)
			refuse("other port", host+":8443", nil)
			refuse("port of another scheme", host+":80", nil)
			refuse("userinfo", "", func(u *url.URL) { u.User = url.User("evil.example") })
			refuse("userinfo in the host", "evil.example@"+host, nil)
			refuse("other scheme", "", func(u *url.URL) { u.Scheme = "http" })
			refuse("other separator", strings.Replace(host, ".", "-", 1), nil)
			for _, other := range []string{"a\u0430", "k\u212a", "s\u017f", ".\u3002"} { // U+212A and U+017F fold to ASCII
				if changed := strings.Replace(host, other[:1], other[1:], 1); changed != host {
					refuse("character of another script", changed, nil)
				}
			}
			if pattern == host {
				return
			}
			for _, value := range []string{
				"", ".", "..", "a.b", ".a", "a.", "a/b", "a\\b", "a%2eb", "a%2Fb", "a%00", "%", "a@b", "a:1", "a b", "a\n", "a#", "a?b", "a;b",
				"\u0430", "a\u3002b", "\uff41", "evil.example/", "evil.example#", "evil.example:443/",
			} {
				refuse(fmt.Sprintf("value %q", value), fill(pattern, value), nil)
			}
			if before, _, _ := strings.Cut(pattern, "{"); before != "" {
				refuse("text before the name", "x"+host, nil)
			}
			refuse("text behind the name", strings.Replace(host, "value-1", "value-1.x", 1), nil)
			if r.except != "" {
				refuse("exception", fill(pattern, r.except), nil)
			}
		})
	}
}

// Requests to these hosts and paths are not for a provider's API.
func TestNeighboursOfCloudsAreNotKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url     string
		hasHost bool
	}{
		{"https://-aiplatform.googleapis.com/v1/projects/p", false},
		{"https://us-central1aiplatform.googleapis.com/v1/projects/p", false},
		{"https://us-central1-aiplatforms.googleapis.com/v1/projects/p", false},
		{"https://us-central1-aiplatform.googleapis.com.cn/v1/projects/p", false},
		{"https://aiplatform.rep.googleapis.com/v1/projects/p", false},
		{"https://aiplatform.us.eu.rep.googleapis.com/v1/projects/p", false},
		{"https://storage.googleapis.com/v1/projects/p", false},
		{"https://bedrock-runtime.amazonaws.com/model/m/converse", false},
		{"https://bedrock-runtime..amazonaws.com/model/m/converse", false},
		{"https://bedrock-runtime.us-east-1.amazonaws.com.cn/model/m/converse", false},
		{"https://bedrock-runtime.us-east-1.x.amazonaws.com/model/m/converse", false},
		{"https://bedrock.us-east-1.amazonaws.com/foundation-models", false},
		{"https://s3.us-east-1.amazonaws.com/bucket", false},
		{"https://res.cognitiveservices.azure.com/speechtotext/v3.2/transcriptions", true},
		{"https://res.services.ai.azure.com/api/projects/p", true},
		{"https://res.services.ai.azure.com/modelsx", true},
		{"https://res.services.ai.azure.com/anthropic", true},
		{"https://xx.api.openai.com/v1/models", false},
		{"https://api.openai.com.eu/v1/models", false},
		{"https://api.cloudflare.com/client/v4/accounts/a/ai-gateway/gateways", true},
	} {
		t.Run(tt.url, func(t *testing.T) {
			table, u := new(Table), parse(t, tt.url)
			if _, _, ok := table.Lookup(u); ok {
				t.Error("Lookup: got a match")
			}
			if got := table.HasHost(u.Host); got != tt.hasHost {
				t.Errorf("HasHost: got %t, want %t", got, tt.hasHost)
			}
			if table.MayContain(u) {
				t.Error("MayContain: got true, want false")
			}
		})
	}
}

// By any scheme, port or spelling, the URL may still be a provider's.
func TestMayContainURLOfKnownRow(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.url, func(t *testing.T) {
			for _, change := range []func(*url.URL){
				func(*url.URL) {},
				func(u *url.URL) { u.Scheme = "http" },
				func(u *url.URL) { u.Host += ":8443" },
				func(u *url.URL) { u.Host = strings.ToUpper(u.Host) + "." },
				func(u *url.URL) { u.Path = strings.ToUpper(u.Path) },
				func(u *url.URL) { u.Path = "/x/.." + u.Path },
				func(u *url.URL) { u.User = url.User("user") },
			} {
				u := parse(t, fill(r.url, "value-1")+"/models")
				if change(u); !new(Table).HasHost(u.Host) || !new(Table).MayContain(u) {
					t.Errorf("got false for %s", u)
				}
			}
			if r.except != "" {
				u := parse(t, fill(r.url, r.except))
				if !new(Table).MayContain(u) {
					t.Errorf("got false for %s", u)
				}
			}
		})
	}
}

func TestLookupRefusesAnOpaqueURL(t *testing.T) {
	t.Parallel()
	u := parse(t, "https://api.openai.com/v1/models")
	u.Opaque = "//evil.example/v1/models"
	if _, _, ok := new(Table).Lookup(u); ok {
		t.Error("got a match")
	}
}

func TestOwnBaseURLs(t *testing.T) {
	t.Parallel()
	table := new(Table)
	for _, own := range []BaseURL{
		{parse(t, "https://llm.example.com"), "root", "https://root.example.com"},
		{parse(t, "https://llm.example.com/v1"), "first", ""},
		{parse(t, "https://LLM.example.com:443/v1"), "second", ""},
		{parse(t, "http://llm.example.com/v1"), "", ""},
		{parse(t, "https://api.openai.com/v1"), "@mine", ""},
		{parse(t, "https://api.groq.com/openai/v1"), "groq", ""},
		{parse(t, "https://proxy.example.com/x/v1"), "together-ai", ""},
		{parse(t, "https://eu.example.com/v1"), "openai", ""},
		{parse(t, "https://aiplatform.googleapis.com"), "vertex-ai", ""},
	} {
		if err := table.Add(own); err != nil {
			t.Fatal(err)
		}
	}
	calledAt := func(host string) map[string]string { return map[string]string{customHost: host} }
	tests := []struct {
		name, url string
		want      result
	}{
		{"explicit custom host", "https://llm.example.com/models", result{"/models", "root", calledAt("https://root.example.com")}},
		{"nothing but the host", "https://llm.example.com", result{"", "root", calledAt("https://root.example.com")}},
		{"the longest, and the first of two", "https://llm.example.com/v1/models", result{"/models", "first", calledAt("https://llm.example.com/v1")}},
		{"host in upper case and default port", "https://LLM.example.com:443/v1/models", result{"/models", "first", calledAt("https://llm.example.com/v1")}},
		{"path that continues a segment", "https://llm.example.com/v10/models", result{"/v10/models", "root", calledAt("https://root.example.com")}},
		{"no provider", "http://llm.example.com/v1/models", result{"/models", "", nil}},
		{"slug, before a known provider", "https://api.openai.com/v1/models", result{"/models", "@mine", nil}},
		{"what the gateway calls by default", "https://api.groq.com/openai/v1/models", result{"/models", "groq", nil}},
		{"custom host without the suffix", "https://proxy.example.com/x/v1/models", result{"/v1/models", "together-ai", calledAt("https://proxy.example.com/x")}},
		{"translated endpoint", "https://proxy.example.com/x/v1/chat/completions", result{"/chat/completions", "together-ai", calledAt("https://proxy.example.com/x")}},
		{"region of a known provider", "https://eu.example.com/v1/models", result{"/models", "openai", calledAt("https://eu.example.com/v1")}},
		{"OAuth endpoint", "https://eu.example.com/v1/oauth/token", result{"/oauth/token", "openai", calledAt("https://eu.example.com/v1")}},
		{"Realtime", "https://eu.example.com/v1/realtime?model=m", result{}},
		{"default host that needs a header", "https://aiplatform.googleapis.com/v1/projects/p", result{"/v1/projects/p", "vertex-ai", calledAt("https://aiplatform.googleapis.com")}},
		{"known providers remain", "https://api.anthropic.com/v1/messages", result{"/messages", "anthropic", nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lookUp(t, table, tt.url); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAddRefusesWhatTheGatewayCannotCall(t *testing.T) {
	t.Parallel()
	err := new(Table).Add(BaseURL{parse(t, "https://proxy.example.com/x"), "together-ai", ""})
	if err == nil || !strings.Contains(err.Error(), "must end in /v1") {
		t.Errorf("got %v, want an error that names the suffix", err)
	}
	if err := new(Table).Add(BaseURL{parse(t, "https://proxy.example.com/x"), "together-ai", "https://x.example.com"}); err != nil {
		t.Errorf("with a custom host: %v", err)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ scheme, host, want string }{
		{"https", "api.openai.com", "api.openai.com"},
		{"https", "API.OpenAI.com:443", "api.openai.com"},
		{"https", "api.openai.com:", "api.openai.com"},
		{"https", "api.openai.com:80", "api.openai.com:80"},
		{"http", "api.openai.com:80", "api.openai.com"},
		{"http", "[::1]:80", "[::1]"},
		{"http", "[::1]", "[::1]"},
		{"http", "[FE80::A]:8787", "[fe80::a]:8787"},
		{"http", "a.example:x", "a.example:x"},
		{"http", "m\u0130corp.example", "m\u0130corp.example"},
		{"http", "", ""},
	} {
		t.Run(tt.scheme+" "+tt.host, func(t *testing.T) {
			if got := Host(tt.scheme, tt.host); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	table := new(Table)
	if err := table.Add(BaseURL{parse(t, "https://llm.example.com/v1"), "", ""}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"https://unknown.example/v1":             "its host is neither",
		"https://api.openai.com/oauth/token":     "its path is a login",
		"https://api.openai.com/v2/models":       "its host is a provider's",
		"http://api.openai.com/v1/models":        "its host is a provider's",
		"https://llm.example.com/v2":             "its host is a provider's",
		"https://res.openai.azure.com/v2":        "its host is a provider's",
		"https://user@api.openai.com/v1/models":  "its URL contains credentials",
		"https://api.openai.com:8443/v1/models":  "its host is a provider's",
		"https://api.openai.com.evil.example/v1": "its host is neither",
	} {
		t.Run(text, func(t *testing.T) {
			if got := table.Explain(parse(t, text)); !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

var namePattern = regexp.MustCompile(`{([^}]*)}`)

// fill replaces each {name} in text by value.
func fill(text, value string) string { return namePattern.ReplaceAllLiteralString(text, value) }

// Each row must be found by its own URL, and not be hidden by another row.
func TestEveryRowIsFound(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range rows {
		t.Run(r.url, func(t *testing.T) {
			if seen[r.url] {
				t.Fatal("the URL has two rows")
			}
			seen[r.url] = true
			if !strings.HasSuffix(r.url, r.suffix) || strings.HasSuffix(r.url, "/") {
				t.Errorf("url must end in suffix %q, and not in a slash", r.suffix)
			}
			text := fill(r.url, "value-1")
			headers := make(map[string]string)
			for _, m := range namePattern.FindAllStringSubmatch(r.url, -1) {
				headers[http.CanonicalHeaderKey("x-portkey-"+m[1])] = "value-1"
			}
			if r.base != "" {
				headers[r.base] = strings.TrimSuffix(text, fill(r.suffix, "value-1"))
			}
			if r.implies != (Header{}) {
				headers[r.implies.Key] = r.implies.Value
			}
			want := result{"/chat/completions", r.provider, headers}
			if len(headers) == 0 {
				want.headers = nil
			}
			got := lookUp(t, new(Table), text+"/chat/completions")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			special := r.special
			if special == nil {
				special = new(Special)
			}
			if s, ok := Find(r.provider); !ok || s != *special {
				t.Errorf("Find(%s): got %+v, %t, want what is special about the row", r.provider, s, ok)
			}
			for key := range want.headers {
				if !slices.Contains(ImpliedKeys(), key) {
					t.Errorf("ImpliedKeys lacks %s", key)
				}
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	if s, ok := Find("azure-openai"); !ok || s.KeyHeader != "Api-Key" || s.TokenHeader != "X-Portkey-Azure-Ad-Token" {
		t.Errorf("azure-openai: got %+v, %t", s, ok)
	}
	if s, ok := Find("google"); !ok || s.KeyQuery != "key" {
		t.Errorf("google: got %+v, %t", s, ok)
	}
	if s, ok := Find("openai"); !ok || s != (Special{}) {
		t.Errorf("openai: got %+v, %t", s, ok)
	}
	if _, ok := Find("unknown"); ok {
		t.Error("unknown: got a provider")
	}
}

func TestQueryKeys(t *testing.T) {
	t.Parallel()
	if got := QueryKeys(); !slices.Equal(got, []string{"key"}) {
		t.Errorf("got %q, want key", got)
	}
}

func TestReadsCredential(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"/chat/completions": true, "/responses": true, "/responses/r1": true, "/files/f1/content": true,
		"/chat/completions/": false, "/filesystem": false, "/models": false, "": false,
	} {
		t.Run(endpoint, func(t *testing.T) {
			if got := ReadsCredential(endpoint); got != want {
				t.Errorf("got %t, want %t", got, want)
			}
		})
	}
}

func TestParseBaseURL(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"https://a.example":          "https://a.example",
		"http://127.0.0.1:8787/v1/":  "http://127.0.0.1:8787/v1",
		"https://[::1]:8787/v1//":    "https://[::1]:8787/v1",
		"HTTPS://a.example:65535/v1": "https://a.example:65535/v1",
	}
	for text, want := range valid {
		t.Run(text, func(t *testing.T) {
			u, err := ParseBaseURL(text)
			if err != nil || u.String() != want {
				t.Errorf("got %v, %v, want %s", u, err, want)
			}
		})
	}
	for _, text := range []string{
		"", "SECRET", "SECRET.example/v1", "ftp://SECRET", "http://", "http://:8787/SECRET", "http://SECRET:0", "http://SECRET:65536",
		"http://u:SECRET@a.example", "http://a.example?k=SECRET", "http://a.example?", "http://a.example#SECRET", "http://a.example#",
		"http://a.example/SECRET%2F", "http://a.example/SECRET x", "http://a.example:SECRET", "http://a.example/\x00SECRET",
	} {
		t.Run("invalid "+text, func(t *testing.T) {
			u, err := ParseBaseURL(text)
			if err == nil {
				t.Fatalf("got %v, want an error", u)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error shows the URL: %v", err)
			}
		})
	}
}

// A match must never let a URL choose the gateway's path outside of the base URL,
// or a header that could not be sent.
func FuzzLookup(f *testing.F) {
	for _, r := range rows {
		f.Add(fill(r.url, "value-1") + "/chat/completions")
		f.Add(fill(r.url, "value-1") + "/a%2Fb?api-version=1")
	}
	table := new(Table)
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		endpoint, implied, ok := table.Lookup(u)
		if !ok {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Opaque != "" || implied.Provider == "" {
			t.Errorf("got a match for %q", text)
		}
		if endpoint != "" && endpoint[0] != '/' {
			t.Errorf("got endpoint %q", endpoint)
		}
		if !translatedEndpoints[endpoint] && !strings.HasSuffix(u.EscapedPath(), endpoint) {
			t.Errorf("got endpoint %q of path %q", endpoint, u.EscapedPath())
		}
		for _, h := range implied.Headers {
			isText := h.Key == azure.queryHeader || h.Key == customHost || h.Key == foundryURL
			if h.Value == "" || !isText && strings.Trim(h.Value, valueChars) != "" {
				t.Errorf("got %s: %q", h.Key, h.Value)
			}
		}
	})
}

// A URL costs the same with 1,500 rows in the table as with 50.
func BenchmarkRows(b *testing.B) {
	for _, n := range []int{50, 150, 1500} {
		var table []row
		for i := range n / 2 {
			table = append(table,
				row{url: fmt.Sprintf("https://api.provider-%04d.example/v1", i), provider: "openai"},
				row{url: fmt.Sprintf("https://runtime.{aws-region}.cloud-%04d.example/v1", i), provider: "bedrock"})
		}
		x := newIndex(table)
		for name, text := range map[string]string{
			"host": "https://api.provider-0007.example/v1/models", "host with a name": "https://runtime.eu-west-1.cloud-0007.example/v1/models",
		} {
			u, _ := url.Parse(text)
			b.Run(fmt.Sprintf("%s/%d rows", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					found := false
					for e, value := range x.rowsOf(u.Host) {
						_, _, found = e.match(u, u.Path, value)
					}
					if !found {
						b.Fatal("no match")
					}
				}
			})
		}
	}
}

func BenchmarkKnownRow(b *testing.B) {
	for name, text := range map[string]string{
		"OpenAI": "https://api.openai.com/v1/chat/completions", "Bedrock": "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
		"Vertex AI": "https://us-central1-aiplatform.googleapis.com/v1/projects/p", "Azure": "https://res.openai.azure.com/openai/deployments/d/chat/completions",
		"no provider": "https://api.provider.example/v1/models",
	} {
		u, _ := url.Parse(text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				new(Table).Lookup(u)
			}
		})
	}
}

// A URL costs the same with 1,000 base URLs on its host as with one.
func BenchmarkLookup(b *testing.B) {
	u, _ := url.Parse("https://llm.example.com/0999/v1/chat/completions")
	for name, n := range map[string]int{"1 base URL": 1, "1000 base URLs": 1000} {
		table := new(Table)
		for i := range n {
			base := *u
			base.Path = fmt.Sprintf("/%04d/v1", 1000-n+i)
			if err := table.Add(BaseURL{&base, "openai", ""}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := table.Lookup(u); !ok {
					b.Fatal("no match")
				}
			}
		})
	}
}
