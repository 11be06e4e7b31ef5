package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portkey-go/portkey/portkeytest"
	"golang.org/x/oauth2"
)

// A countingSource counts the tokens that it returns.
type countingSource struct {
	tokens oauth2.TokenSource
	n      int
}

func (c *countingSource) Token() (*oauth2.Token, error) {
	c.n++
	return c.tokens.Token()
}

func TestTokenIsReplacedBeforeItExpires(t *testing.T) {
	const beforeExpiry = 10 * time.Second // of ReuseTokenSource
	for _, tt := range []struct {
		name     string
		lifetime time.Duration
		want     int // tokens for three calls
	}{
		{"long", time.Hour, 1},
		{"about to expire", beforeExpiry - time.Second, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, err := newIssuer(tt.lifetime)
			if err != nil {
				t.Fatal(err)
			}
			source := &countingSource{tokens: issuer}
			key := keySource(oauth2.ReuseTokenSource(nil, source))
			for range 3 {
				if _, err := key(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if source.n != tt.want {
				t.Errorf("got %d tokens, want %d", source.n, tt.want)
			}
		})
	}
}

func TestCallIsMadeWithAToken(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	token := &oauth2.Token{AccessToken: "header.claims.signature", Expiry: time.Now().Add(time.Hour)}
	var out bytes.Buffer
	if err := run(t.Context(), &out, gateway.URL(), oauth2.StaticTokenSource(token)); err != nil {
		t.Fatal(err)
	}
	if out.String() != "200 OK\n" {
		t.Errorf("got %q, want 200 OK", &out)
	}
	if got := gateway.Requests()[0].Header.Get("x-portkey-api-key"); got != token.AccessToken {
		t.Errorf("got key %q, want the token", got)
	}
}

func TestErrorOfTheIssuerIsReturned(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	down := errors.New("the issuer is down")
	err := run(context.Background(), new(bytes.Buffer), gateway.URL(), failing{down})
	if !errors.Is(err, down) {
		t.Errorf("got %v, want %v", err, down)
	}
	if n := len(gateway.Requests()); n > 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

type failing struct{ err error }

func (f failing) Token() (*oauth2.Token, error) { return nil, f.err }
