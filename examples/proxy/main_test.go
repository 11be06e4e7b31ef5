package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

// token is that of a user of the service, whose name is ada.
const token = "token-from-outside"

// startProxy starts the proxy in front of the gateway at baseURL and returns its URL.
func startProxy(t *testing.T, baseURL string, h portkey.Headers) string {
	t.Helper()
	t.Setenv("PORTKEY_API_KEY", "pk-service")
	opts := portkey.Options{BaseURL: baseURL, Headers: h}
	handler, err := newHandler(opts, map[string]string{token: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(handler)
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// send sends a chat completion with the headers h to the proxy.
func send(t *testing.T, proxyURL string, h http.Header) *http.Response {
	t.Helper()
	body := strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"hello"}]}`)
	req, err := http.NewRequestWithContext(t.Context(), "POST", proxyURL+"/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	maps.Copy(req.Header, h)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestOutsiderChoosesNoHeaderAtTheGateway(t *testing.T) {
	// Every value that must not reach the gateway contains "outside".
	attacks := map[string]http.Header{
		"x-portkey headers": {
			"X-Portkey-Custom-Host": {"https://outside.example"}, "x-portkey-config": {"pc-outside"},
			"X-PORTKEY-METADATA": {`{"_user":"outside"}`}, "x-Portkey-Api-Key": {"pk-outside"},
			"X-portkey-TRACE-id": {"outside-1", "outside-2"}, "X-Portkey-Unheard-Of": {"outside"},
		},
		"two spellings": {
			"X-Portkey-Custom-Host": {""}, "x-portkey-custom-host": {"https://outside.example"},
		},
		"x-portkey headers that Connection names": {
			"Connection":            {"X-Portkey-Custom-Host, close", "x-portkey-config"},
			"X-Portkey-Custom-Host": {"https://outside.example"}, "X-Portkey-Config": {"pc-outside"},
		},
		"Connection names the service's headers": {
			"Connection": {"X-Portkey-Api-Key, X-Portkey-Metadata, X-Portkey-Provider, Authorization, X-Outside"},
			"X-Outside":  {"outside"},
		},
		"credentials": {
			"Api-Key": {"outside"}, "X-Api-Key": {"outside"}, "X-Goog-Api-Key": {"outside"}, "Cookie": {"session=outside"},
			"Openai-Organization": {"outside"}, "Openai-Project": {"outside"},
		},
		"traceparent": {
			"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {"vendor=outside"},
		},
	}
	setups := []struct {
		name    string
		headers portkey.Headers
		want    map[string]string // of x-portkey-* headers and Authorization at the gateway
	}{
		{"OpenAI key in Options", portkey.Headers{Authorization: "Bearer sk-service"},
			map[string]string{"X-Portkey-Provider": "openai", "Authorization": "Bearer sk-service"}},
		{"OpenAI key at Portkey", portkey.Headers{Provider: "@openai-prod"},
			map[string]string{"X-Portkey-Provider": "@openai-prod"}},
		{"OpenAI key in a saved config", portkey.Headers{Config: portkey.ConfigSlug("pc-service")},
			map[string]string{"X-Portkey-Config": "pc-service"}},
	}
	for _, setup := range setups {
		for name, attack := range attacks {
			t.Run(setup.name+"/"+name, func(t *testing.T) {
				gateway := portkeytest.NewGateway(t)
				h := maps.Clone(attack)
				h["Authorization"] = []string{"Bearer " + token}
				resp := send(t, startProxy(t, gateway.URL(), setup.headers), h)
				if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "You said: hello") {
					t.Fatalf("got %s %s, want the echo", resp.Status, body)
				}
				received := gateway.Requests()[0].Header
				if dump := fmt.Sprint(received); strings.Contains(dump, "outside") || strings.Contains(dump, "0af7651916cd") {
					t.Errorf("got %s, want nothing that the outsider chose", dump)
				}
				want := map[string]string{"X-Portkey-Api-Key": "pk-service", "X-Portkey-Metadata": `{"_user":"ada"}`}
				maps.Copy(want, setup.want)
				got := make(map[string]string)
				for key, values := range received {
					if strings.HasPrefix(key, "X-Portkey-") && key != "X-Portkey-Trace-Id" || key == "Authorization" {
						got[key] = strings.Join(values, " | ")
					}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

func TestRequestWithoutATokenOrToAnotherEndpointIsRefused(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	proxy := startProxy(t, gateway.URL(), portkey.Headers{Authorization: "Bearer sk-service"})
	for _, tt := range []struct {
		name, method, path, authorization string
		want                              int
	}{
		{"no token", "POST", "/v1/chat/completions", "", http.StatusUnauthorized},
		{"unknown token", "POST", "/v1/chat/completions", "Bearer x", http.StatusUnauthorized},
		{"files", "GET", "/v1/files", "Bearer " + token, http.StatusNotFound},
		{"files by way of models", "GET", "/v1/models/%2e%2e/files", "Bearer " + token, http.StatusNotFound},
		{"another method", "DELETE", "/v1/models", "Bearer " + token, http.StatusMethodNotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, proxy+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", tt.authorization)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("got %s, want %d", resp.Status, tt.want)
			}
		})
	}
	if n := len(gateway.Requests()); n > 0 {
		t.Errorf("got %d requests at the gateway, want 0", n)
	}
}

func TestEachEventOfAStreamArrivesBeforeTheNextIsSent(t *testing.T) {
	arrived := make(chan struct{})
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-arrived:
			case <-time.After(10 * time.Second): // let a test that failed end
				return
			}
		}
	}))
	defer gateway.Close()
	proxy := startProxy(t, gateway.URL, portkey.Headers{Authorization: "Bearer sk-service"})
	events := bufio.NewReader(send(t, proxy, http.Header{"Authorization": {"Bearer " + token}}).Body)
	for i := range 3 {
		line, err := events.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("got %q, %v, want %q", line, err, want)
		}
		events.ReadString('\n') // the empty line that ends the event
		arrived <- struct{}{}
	}
	if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v, want the end of the stream", rest, err)
	}
}

func TestWebSocketPassesInBothDirections(t *testing.T) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 1.3
	accept := base64.StdEncoding.EncodeToString(sum[:])
	received := make(chan *http.Request, 1)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Accept", accept)
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.Write(frame("session.created"))
		for { // echo
			message, err := readFrame(rw.Reader)
			if err != nil {
				return
			}
			conn.Write(frame("echo " + message))
		}
	}))
	defer gateway.Close()
	proxy := startProxy(t, gateway.URL, portkey.Headers{Authorization: "Bearer sk-service"})

	conn, err := net.Dial("tcp", strings.TrimPrefix(proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "GET /v1/realtime?model=m HTTP/1.1\r\nHost: proxy.example\r\n"+
		"Connection: keep-alive, Upgrade, x-portkey-config\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+key+"\r\n"+
		"Authorization: Bearer "+token+"\r\nx-PORTKEY-custom-HOST: https://outside.example\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode != http.StatusSwitchingProtocols || got != accept {
		t.Fatalf("got %s with Sec-WebSocket-Accept %q, want 101 with %q", resp.Status, got, accept)
	}
	for _, want := range []string{"session.created", "echo one", "echo two"} {
		if got, err := readFrame(reader); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
		conn.Write(maskedFrame(map[string]string{"session.created": "one", "echo one": "two"}[want]))
	}

	got := <-received
	if got.RequestURI != "/v1/realtime?model=m" || got.Header.Get("Authorization") != "Bearer sk-service" {
		t.Errorf("got %s with Authorization %q, want the service's credential at /v1/realtime?model=m",
			got.RequestURI, got.Header.Get("Authorization"))
	}
	if dump := fmt.Sprint(got.Header); strings.Contains(dump, "outside") {
		t.Errorf("got %s, want nothing that the outsider chose", dump)
	}
}

// frame returns a WebSocket frame with a short text, as a server sends it.
func frame(text string) []byte {
	return append([]byte{0x81, byte(len(text))}, text...)
}

// maskedFrame returns a WebSocket frame with a short text, as a client sends it.
func maskedFrame(text string) []byte {
	mask := [4]byte{1, 2, 3, 4}
	f := append([]byte{0x81, 0x80 | byte(len(text))}, mask[:]...)
	for i := range len(text) {
		f = append(f, text[i]^mask[i%4])
	}
	return f
}

// readFrame reads a WebSocket frame with a short text, masked or not.
func readFrame(r *bufio.Reader) (string, error) {
	var header [2]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return "", err
	}
	var mask [4]byte
	if header[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return "", err
		}
	}
	text := make([]byte, header[1]&0x7f)
	_, err := io.ReadFull(r, text)
	for i := range text {
		text[i] ^= mask[i%4]
	}
	return string(text), err
}
