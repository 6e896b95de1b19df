package freeport

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGet(t *testing.T) {
	for range 50 {
		port, err := Get()
		require.NoError(t, err)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.False(t, isFree(port))
		require.NoError(t, l.Close())
	}
}
