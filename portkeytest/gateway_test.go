package portkeytest_test

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

// client is apart from http.DefaultClient, whose idle connections a Gateway that
// closes would close under another test's hands.
var client = &http.Client{Transport: new(http.Transport)}

func post(t *testing.T, gw *portkeytest.Gateway, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", gw.URL()+"/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestGatewayAnswersLikeTheRealOne(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	config := http.Header{"X-Portkey-Config": {"pc-1"}}
	tests := []struct {
		name, body string
		header     http.Header
		status     int
		want       string
	}{
		{"neither provider nor config", `{}`, nil, 400, `{"message":"Either x-portkey-config or x-portkey-provider header is required","status":"failure"}`},
		{"no JSON", `{`, config, 500, `"status":"failure"`},
		{"a config alone", `{"messages":[{"content":"first"},{"content":"last"}]}`, config, 200, `"content":"You said: last"`},
		{"no messages", `{}`, config, 200, `"content":"You said: nothing"`},
	}
	for _, tt := range tests {
		resp, body := post(t, gw, tt.body, tt.header)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, resp.StatusCode, body, tt.status, tt.want)
		}
	}
	resp, body := post(t, gw, `{"stream":true}`, config)
	if resp.ContentLength != -1 || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("streamed: got length %d and %q, want a stream that ends with [DONE]", resp.ContentLength, body)
	}
	resp, err := client.Get(gw.URL() + "/chat/completions")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d, want 405", resp.StatusCode)
	}
}

func TestRequestsAreWhatArrived(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for text, want := range map[string]portkey.Metadata{
		`{"a":"1"}`: {"a": "1"}, `{"a":"1","b":2}`: nil, `_user=u1`: nil,
	} {
		n := len(gw.Requests())
		post(t, gw, `{}`, http.Header{"X-Portkey-Config": {"pc-1"}, "X-Portkey-Metadata": {text}})
		got := gw.Requests()[n]
		if got.Config() != "pc-1" || !reflect.DeepEqual(got.Metadata(), want) || string(got.Body) != `{}` {
			t.Errorf("%s: got %+v with metadata %v, want %v", text, got, got.Metadata(), want)
		}
	}
	gw.Requests()[0] = portkeytest.Request{}
	if gw.Requests()[0].Config() != "pc-1" {
		t.Error("a change of what Requests returned is seen by others")
	}
}

func TestGatewayStopsWithTheTest(t *testing.T) {
	t.Parallel()
	var gw *portkeytest.Gateway
	t.Run("inner", func(t *testing.T) { gw = portkeytest.NewGateway(t) })
	if resp, err := client.Get(gw.URL()); err == nil {
		resp.Body.Close()
		t.Error("the gateway still answers")
	}
}
