package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An upstream is a provider of a test's own. It records what reaches it.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []received
}

// A received is a request as it reached an upstream.
type received struct {
	Method, Path, Host string
	URI                string // path and query as they were sent
	Query              url.Values
	Header             http.Header
	Body               []byte
}

// newUpstream starts an upstream that answers with answer, by which the body can
// be read again; nil means answerOpenAI.
func newUpstream(t *testing.T, answer http.HandlerFunc) *upstream {
	t.Helper()
	if answer == nil {
		answer = answerOpenAI
	}
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("upstream: reading the body of %s %s: %v", r.Method, r.URL, err)
		}
		u.mu.Lock()
		u.seen = append(u.seen, received{r.Method, r.URL.Path, r.Host, r.RequestURI, r.URL.Query(), r.Header.Clone(), body})
		u.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

// requests returns what has reached the upstream, in order.
func (u *upstream) requests() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// only returns the one request that has reached the upstream. Every request must
// have come without Portkey's headers.
func (u *upstream) only(t *testing.T) received {
	t.Helper()
	all := u.requests()
	if len(all) != 1 {
		t.Fatalf("requests upstream: got %d, want 1", len(all))
	}
	all[0].checkClean(t)
	return all[0]
}

// checkClean checks that what is Portkey's stayed at the gateway.
func (r *received) checkClean(t *testing.T) {
	t.Helper()
	for key := range r.Header {
		if strings.HasPrefix(strings.ToLower(key), "x-portkey-") {
			t.Errorf("%s %s: got header %s upstream, want no x-portkey-* header", r.Method, r.Path, key)
		}
	}
}

// checkHeader checks a header upstream; want "" means that it must not be there.
func (r *received) checkHeader(t *testing.T, key, want string) {
	t.Helper()
	if got := strings.Join(r.Header.Values(key), " | "); got != want {
		t.Errorf("header %s upstream: got %q, want %q", key, got, want)
	}
}

func (r *received) checkURL(t *testing.T, method, path string) {
	t.Helper()
	if r.Method != method || r.Path != path {
		t.Errorf("request upstream: got %s %s, want %s %s", r.Method, r.Path, method, path)
	}
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %q, want %q in it", what, got, want)
	}
}

// answerOpenAI answers as OpenAI does.
func answerOpenAI(w http.ResponseWriter, r *http.Request) {
	switch endpoint := r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]; endpoint {
	case "/completions":
		var body struct{ Stream bool }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			reply(http.StatusBadRequest, `{"error":{"message":"the body is not JSON","type":"invalid_request_error"}}`)(w, r)
			return
		}
		if body.Stream {
			streamChat(released)(w, r)
			return
		}
		reply(http.StatusOK, `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m1",
			"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],
			"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`)(w, r)
	case "/embeddings":
		reply(http.StatusOK, `{"object":"list","model":"m1","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],
			"usage":{"prompt_tokens":1,"total_tokens":1}}`)(w, r)
	case "/models":
		reply(http.StatusOK, `{"object":"list","data":[{"id":"m1","object":"model","created":1700000000,"owned_by":"me"},
			{"id":"m2","object":"model","created":1700000000,"owned_by":"me"}]}`)(w, r)
	case "/files":
		reply(http.StatusOK, `{"id":"file-1","object":"file","bytes":7,"created_at":1700000000,
			"filename":"train.jsonl","purpose":"fine-tune"}`)(w, r)
	default:
		reply(http.StatusNotFound, `{"error":{"message":"no such endpoint","type":"invalid_request_error"}}`)(w, r)
	}
}

// answerAnthropic answers as Anthropic does.
var answerAnthropic = reply(http.StatusOK, `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x",
	"content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}`)

// pieces are the chunks of a streamed answer.
var pieces = []string{"one ", "two ", "three"}

// released holds no stream.
var released = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// streamChat streams pieces as a chat completion. From the second on, each waits
// for next.
func streamChat(next <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, piece := range pieces {
			if i > 0 {
				select {
				case <-next:
				case <-r.Context().Done():
					return
				}
			}
			fmt.Fprintf(w, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m1",`+
				`"choices":[{"index":0,"delta":{"role":"assistant","content":%q},"finish_reason":null}]}`+"\n\n", piece)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, "data: [DONE]\n\n")
	}
}
